"""What training jobs leave behind goes."""

from __future__ import annotations

import os
import time

from serving.training_queue import tidy

NOW = time.time()


def test_old_data_and_output_of_jobs_go_and_the_rest_stays(tmp_path) -> None:
    past = time.time() - 90 * 86_400 - 60
    for name in ("old.npz", "old.log", "old.txt", "new.npz", "new.log"):
        (tmp_path / name).touch()
        if name.startswith("old"):
            os.utime(tmp_path / name, (past, past))
    tidy(tmp_path, 0)
    assert len(list(tmp_path.iterdir())) == 5
    tidy(tmp_path, 90)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.log", "new.npz", "old.txt"]
