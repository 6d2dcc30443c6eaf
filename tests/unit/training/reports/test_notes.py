"""Of many notes those that need a decision come first, and alike ones are counted."""

from __future__ import annotations

from training.reports.notes import shown

DECISION = "{}: slow drift over up to 50 readings is taken for normal: trials gave 1"
GARBAGE = "s{}: -999 is no measurement (12 readings, PUMP_{} 2026-01-0{} 01:00:00)"
NOTES = [
    *(DECISION.format(group) for group in "abcdef"),
    "times such as '01.01.2026 00:00' are read as %d.%m.%Y %H:%M in UTC",
    *(GARBAGE.format(n, n, n) for n in range(1, 8)),
    "column 'Zustand' holds no number (Auto, Hand): left out",
]


def test_what_was_lost_comes_before_how_the_fit_decided() -> None:
    found = shown(NOTES, kept=True)
    assert "is no measurement" in found[0]
    assert "left out" in found[2]
    assert "slow drift" in found[-1]


def test_alike_notes_are_counted_and_the_rest_is_named() -> None:
    found = shown(NOTES, kept=True)
    assert len(found) == 6
    assert found[1].endswith(" (and 5 alike: see notes.txt in MLflow)")
    assert found[-1].endswith(" (and 4 alike: see notes.txt in MLflow)")


def test_without_a_run_that_keeps_them_none_is_hidden() -> None:
    assert sorted(shown(NOTES, kept=False)) == sorted(NOTES)


def test_a_group_called_default_is_no_fault() -> None:
    lost = "column 'Zustand' holds no number (Auto, Hand): left out"
    about = "default: three runs are read as one"
    assert shown([about, lost], kept=True) == [lost, about]
