"""The way back: the last release starts, and works, on the schema of this code."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from sqlalchemy import Engine, text

from db.migrate import migrate
from db.session import transaction

RELEASE = Path(__file__).resolve().parents[2] / "fixtures" / "release_0_1"


def test_release_0_1_works_on_the_newest_schema(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    with tarfile.open(RELEASE / "database.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    newest = migrate(engine)
    done = subprocess.run(
        [sys.executable, RELEASE / "use_database.py", database_url],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert migrate(engine) == newest  # the older program left the schema as it was
    with transaction(engine) as connection:
        stored = connection.execute(text("SELECT count(*) FROM anomaly_detections")).scalar_one()
    assert stored == 11
