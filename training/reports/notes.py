"""Choose the notes of a training that a terminal shows: what needs a decision first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from training.publishing.mlflow_tracking import ALL_NOTES

#: Notes of one kind that are shown.
_SHOWN: Final = 2
#: Words of a kind: what follows is about the single case.
_WORDS: Final = 6
#: What a reader may have to act on: data that were lost or misread, and false alarms to come.
_FIRST: Final = re.compile(
    r"left out|not used|NOT |unreadable|cannot be read|no measurement|not measured|\bfail|problem"
    r"|labelled|\bfault|Expect |--(?!counters)|\?",
)
#: Decisions of the fit, with the trials that they rest on.
_DECISIONS: Final = re.compile(r"trials|injected|live calibration adapts|correlations of features")
_CASE: Final = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\d[\w.,:%+-]*")


def shown(notes: Sequence[str], *, kept: bool) -> list[str]:
    """Return the notes to show, the most important first; alike ones are counted.

    Parameters
    ----------
    notes : all notes.
    kept : whether a run keeps them all; else all are shown.
    """
    ordered = sorted(notes, key=_rank)
    if not kept:
        return ordered
    alike: dict[str, list[str]] = {}
    for note in ordered:
        alike.setdefault(_kind(note), []).append(note)
    out = []
    for same in alike.values():
        out += same[:_SHOWN]
        if (more := len(same) - _SHOWN) > 0:
            out[-1] += f" (and {more:,} alike: see {ALL_NOTES} in MLflow)"
    return out


def _rank(note: str) -> int:
    if _DECISIONS.search(note):
        return 0 if "Expect " in note else 2
    return 0 if _FIRST.search(note) else 1


def _kind(note: str) -> str:
    """Return what notes of one kind share: their first words, without names and numbers."""
    head, colon, rest = note.partition(": ")
    text = rest if colon and len(head) < 200 and len(rest.split()) > 2 else note
    return " ".join(_CASE.sub("#", text).split()[:_WORDS])
