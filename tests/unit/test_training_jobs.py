"""What jobs of ``POST /train`` leave behind."""

from __future__ import annotations

import os
import time

from serving.jobs import KEPT_S, tidy


def test_old_data_and_output_of_jobs_go_and_the_rest_stays(tmp_path) -> None:
    past = time.time() - KEPT_S - 60
    for name in ("old.npz", "old.log", "old.txt", "new.npz", "new.log"):
        (tmp_path / name).touch()
        if name.startswith("old"):
            os.utime(tmp_path / name, (past, past))
    tidy(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.log", "new.npz", "old.txt"]
