"""``POST /train``: what is no part of it is refused, and what its jobs leave behind goes."""

from __future__ import annotations

import os
import time

import pytest

from errors import InputError
from serving.requests.training_request import parse_training
from serving.training_queue import KEPT_S, tidy


def test_old_data_and_output_of_jobs_go_and_the_rest_stays(tmp_path) -> None:
    past = time.time() - KEPT_S - 60
    for name in ("old.npz", "old.log", "old.txt", "new.npz", "new.log"):
        (tmp_path / name).touch()
        if name.startswith("old"):
            os.utime(tmp_path / name, (past, past))
    tidy(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.log", "new.npz", "old.txt"]


def test_a_misspelt_field_is_refused_and_not_passed_over() -> None:
    with pytest.raises(InputError, match="promot: not a field") as refused:
        parse_training({"data": [[1.0]], "promot": False})
    assert refused.value.entry()["field"] == "promot"
    assert parse_training({"data": [[1.0]], "promote": False}).options["promote"] is False
