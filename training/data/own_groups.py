"""Move streams that do not fit their group to groups of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from glob import escape
from typing import Final, TypeVar

from datasets import Stream
from models.bundles.bundle import DEFAULT
from models.bundles.rules import Rule
from training.cli.common import listed
from training.data.groups import Grouping, pick
from training.data.preparation import MIN_ROWS
from training.data.sources import TrainingData

#: A pattern that matches one id only, as :func:`glob.escape` makes it.
_ONE_ID: Final = re.compile(r"(?:[^*?\[]|\[[*?\[]\])*")
#: Names that a note lists, at most.
MAX_NAMED: Final = 5

Item = TypeVar("Item")


class OwnGroups:
    """A grouping while some of its streams are moved.

    Parameters
    ----------
    before : Grouping
        Its notes are kept, and its rules follow the new ones.
    """

    def __init__(self, before: Grouping) -> None:
        self._before = before
        self._taken = {*before.groups, *(rule.group for rule in before.rules)}
        self._rules: list[Rule] = []
        self.groups: dict[str, TrainingData] = {}
        self.notes = list(before.notes)

    def claim(self, group: str, part: TrainingData) -> str:
        """Name a group for streams that leave ``group``, and make rules for them."""
        own = f"{group}_{part.streams[0].asset_id}"
        while own in self.groups or own in self._taken:
            own += "_2"
        self._rules += [
            Rule(own, escape(s.asset_id), escape(s.sensor_id or "")) for s in part.streams
        ]
        return own

    def move(self, group: str, part: TrainingData, problem: str) -> None:
        """Move streams out of ``group``; a note says so.

        Parameters
        ----------
        group : str
            Where they belonged to.
        part : TrainingData
            The streams.
        problem : str
            Why they do not fit.
        """
        own = self.claim(group, part)
        self.groups[own] = part
        self.notes.append(
            f"{problem}: a group of its own, {own!r} (--group-by and --groups name others)"
        )

    def move_or_leave_out(
        self, group: str, part: TrainingData, problem: str, *, fixed: bool
    ) -> None:
        """Move streams whose values would hide the others' faults; leave them out if too few.

        Parameters
        ----------
        group, part, problem
            As for :meth:`move`.
        fixed : bool
            The groups must not change, so the streams are left out.
        """
        if fixed:
            self.notes.append(
                f"{problem}: left out; live readings are scored by group {group!r}, where they may"
                " alarm"
            )
        elif part.rows < MIN_ROWS:
            # the rule of a group without a model set is dropped, unless the champion has one for it
            own = self.claim(group, part)
            self.notes.append(
                f"{problem}: left out, since {part.rows} readings are too few for a group. Unless"
                f" the champion has a group {own!r}, live readings are scored by group {group!r},"
                " where they will alarm"
            )
        else:
            self.move(group, part, problem)

    def done(self) -> Grouping:
        """Return the new grouping."""
        others = list(self._before.rules)
        rules = [*self._rules, *(others or [Rule(DEFAULT)])] if self._rules else others
        return Grouping(self.groups, rules, self.notes)


def split_off(
    grouping: Grouping,
    apart: Callable[[TrainingData], Sequence[tuple[list[int], str]]],
    harm: str,
    *,
    fixed: bool,
    named: bool,
) -> Grouping:
    """Move streams that do not fit their group to groups of their own, if they are large enough.

    Parameters
    ----------
    grouping : Grouping
    apart : callable
        Returns the lots of a group that belong together: indices of streams, and what is wrong.
    harm : str
        What the others suffer by them.
    fixed : bool
        The groups must not change (a retraining): such streams are left out instead.
    named : bool
        Somebody named the groups: such streams stay, and a note warns of them.
    """
    made = OwnGroups(grouping)
    for name, data in grouping.groups.items():
        lots = apart(data)
        if named:
            made.groups[name] = data
            made.notes += [f"{problem}: {harm}" for _, problem in lots]
            continue
        moved = {i for members, _ in lots for i in members}
        left = [i for i in range(len(data.streams)) if i not in moved]
        made.groups[name] = pick(data, left) if moved else data
        for members, problem in lots:
            made.move_or_leave_out(name, pick(data, members), problem, fixed=fixed)
    return made.done()


def alike(items: Sequence[Item], same: Callable[[Item, Item], bool]) -> list[list[Item]]:
    """Put each item to the first lot whose first one is the ``same``, else into one of its own."""
    lots: list[list[Item]] = []
    for item in items:
        for lot in lots:
            if same(item, lot[0]):
                lot.append(item)
                break
        else:
            lots.append([item])
    return lots


def named_by_somebody(rules: Sequence[Rule]) -> bool:
    """Return whether somebody chose the groups of these rules.

    Else there is the default group, and groups that :class:`OwnGroups` moved out of it, each with a
    rule per stream. Names alone do not tell: people may call a group ``default_pumps``, too.
    """
    *own, rest = rules or [Rule(DEFAULT)]
    return rest != Rule(DEFAULT) or not all(map(_is_own, own))


def _is_own(rule: Rule) -> bool:
    one_stream = all(map(_ONE_ID.fullmatch, (rule.asset_id, rule.sensor_id)))
    return rule.group.startswith(f"{DEFAULT}_") and one_stream and rule.feature is None


def assets_of(streams: Sequence[Stream]) -> str:
    """Return the names of the streams' assets for a note."""
    return listed(list(dict.fromkeys(stream.asset_id for stream in streams)), MAX_NAMED)
