"""Fold what the system repeats in the log of an incident, so that people's entries stand out. Pure.

A machine that stops each night clears its incident and resumes it each morning: two entries a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from db.incident_lifecycle import SYSTEM

Entry = Mapping[str, Any]

#: Turns of the same two entries from which on all but the first are folded.
MANY: Final = 3


def folded(log: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Divide a log into groups: single entries, and longer ones that repeat the two before.

    Parameters
    ----------
    log : sequence of mapping
        Entries with ``who``, ``what`` and ``why``, in the order of their writing.
    """
    groups: list[Sequence[Entry]] = []
    at = 0
    while at < len(log):
        turns = _turns(log, at)
        if turns < MANY:
            groups.append(log[at : at + 1])
            at += 1
        else:
            end = at + 2 * turns
            groups += [log[at : at + 1], log[at + 1 : at + 2], log[at + 2 : end]]
            at = end
    return groups


def _turns(log: Sequence[Entry], at: int) -> int:
    """Return how often the two entries from ``at`` on follow each other; 0: a person wrote one."""
    pair = log[at : at + 2]
    if any(entry["who"] != SYSTEM for entry in pair):
        return 0
    turns = 1
    while _texts(log[at + 2 * turns : at + 2 * turns + 2]) == _texts(pair):
        turns += 1
    return turns


def _texts(entries: Sequence[Entry]) -> list[tuple[Any, ...]]:
    return [(entry["who"], entry["what"], entry["why"]) for entry in entries]
