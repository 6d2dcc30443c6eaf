"""Readings fitted on are named by stream and time, or by row where there are no times."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from models.fitting.faults.trimming import without_faulty
from models.fitting.garbage.cleaning import clean
from models.fitting.places import Places


def times(n: int, start: str = "2026-01-01T22:00") -> np.ndarray:
    return np.datetime64(start, "us") + np.arange(n) * np.timedelta64(1, "h")


def test_stretches_are_named_by_stream_and_time() -> None:
    masks = [np.array([1, 0, 0, 1, 1], bool), np.array([0, 1, 1], bool)]
    places = Places([times(5), times(3)], ["Pumpe 1", "Pumpe 2 / S1"])
    assert places.of(masks) == (
        "Pumpe 1 2026-01-01 22:00:00, Pumpe 1 2026-01-02 01:00:00 to 02:00:00,"
        " Pumpe 2 / S1 2026-01-01 23:00:00 to 2026-01-02 00:00:00 UTC"
    )
    assert Places([times(5), times(3)]).of(masks).startswith("2026-01-01 22:00:00, 2026-01-02")
    assert Places().of(masks) == "rows 1, 4-5, 7-8 of the readings fitted on"


def test_a_single_reading_is_named_alike() -> None:
    lengths = (5, 3)
    masks = [np.zeros(n, bool) for n in lengths]
    masks[1][2] = True
    for places in (Places(), Places([times(5), times(3)], ["P1", "P2"])):
        assert places.of_one(1, 2, lengths) == places.of(masks)


class Counted:
    """Times that count how often they are asked for one."""

    def __init__(self, n: int) -> None:
        self.asked, self._times = 0, times(n)

    def __getitem__(self, at: int) -> Any:
        self.asked += 1
        return self._times[at]


def test_only_the_stretches_shown_are_formatted() -> None:
    """A code for missing in a fourth of a million readings took seconds per feature."""
    here = [Counted(40), Counted(40)]
    mask = np.arange(40) % 2 == 0
    text = Places(cast("Any", here)).of([mask, mask])
    assert text.endswith(" and 35 more stretches UTC")
    assert here[0].asked + here[1].asked < 20


def test_many_stretches_are_counted() -> None:
    mask = np.arange(40) % 2 == 0
    assert Places([times(40)]).of([mask]).endswith(" and 15 more stretches UTC")


def test_what_training_leaves_out_is_found_in_the_file_by_its_time() -> None:
    """Rows are numbered anew after each step, and so told nobody where a fault was."""
    rng = np.random.default_rng(0)
    streams = [rng.normal(size=(3000, 2)) for _ in range(2)]
    streams[0][20, 1] = -999.0
    streams[1][1000:1060] += 10.0
    every = [times(3000), times(3000)]
    cleaned = clean(streams, every, list("ab"), who=["P1", "P2"])
    assert any("b: -999 is no measurement (1 reading, P1 2026-01-02 18:00:00 UTC)" in note
               for note in cleaned.notes)  # fmt: skip
    left = without_faulty(cleaned, 0.15)
    assert any("nobody labelled (P2 2026-02-1" in note for note in left.notes)
