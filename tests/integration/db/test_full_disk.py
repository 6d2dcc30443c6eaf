"""A PostgreSQL whose disk is full: queries are answered, and a try tells that changes are not."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from db.queries.overview import try_disk
from db.session import in_transaction, make_engine, transaction
from errors import StorageUnavailable
from tests.fixtures.own_postgres import OwnPostgres

MB = 2**20


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, which fills without harm to anybody."""
    folder = tempfile.mkdtemp(prefix="disk-")
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", folder]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a file system")
        yield Path(folder)
    finally:
        subprocess.run(["umount", folder], capture_output=True, check=False)
        os.rmdir(folder)


def fill(file: Path) -> None:
    handle = os.open(file, os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, bytes(MB))
    os.close(handle)


def tried(connection: Connection, read_only: str) -> None:
    connection.execute(text(f"SET transaction_read_only = {read_only}"))
    try_disk(connection)


def test_a_full_disk_is_noticed_without_changing_a_table(small_disk: Path) -> None:
    elsewhere = tempfile.mkdtemp(prefix="tablespace-")
    server = OwnPostgres(small_disk)
    owner = (small_disk / "data").stat()
    os.chown(elsewhere, owner.st_uid, owner.st_gid)
    engine = make_engine(server.url.replace("postgresql://", "postgresql+psycopg2://", 1))
    try:
        in_transaction(engine, try_disk)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # temporary files may have a disk of their own, which says nothing about the tables'
            connection.execute(text(f"CREATE TABLESPACE other LOCATION '{elsewhere}'"))
            connection.execute(text("ALTER SYSTEM SET temp_tablespaces = other"))
            connection.execute(text("SELECT pg_reload_conf()"))
        fill(small_disk / "filling")
        with transaction(engine) as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        for read_only in ("off", "on"):
            with pytest.raises(StorageUnavailable, match="no space left on its disk") as caught:
                in_transaction(engine, tried, read_only)
            assert caught.value.code == "storage_full"
        (small_disk / "filling").unlink()
        in_transaction(engine, try_disk)
        with transaction(engine) as connection:  # a tiny temp_file_limit is no full disk
            connection.execute(text("SET temp_file_limit = 64"))
            try_disk(connection)
    finally:
        (small_disk / "filling").unlink(missing_ok=True)
        engine.dispose()
        server.close()
        shutil.rmtree(elsewhere)
