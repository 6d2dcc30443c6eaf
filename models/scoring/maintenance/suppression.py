"""Suppress alarms of a stream during maintenance windows and while the machine is off.

:class:`Suppressor` decides from a reading's own time and features, in the same way in service,
back-test and training. Suppressed readings are scored and marked. They change no adaptive state,
enter no window and open no incident. Afterwards smoothing, window and tail restart, as after a gap.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from errors import InputError
from models.scoring.maintenance.maintenance_window import MaintenanceWindow, matches
from models.scoring.state_values import TIMES, check

log = logging.getLogger(__name__)
T = TypeVar("T")

OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

#: Sums of times are exact to much less than this.
ROUNDING_S: Final = 1e-3

MAINTENANCE: Final = "maintenance"
OFF: Final = "off"


@dataclass(frozen=True, slots=True)
class OffCondition:
    """A condition under which a machine counts as off.

    It is off once ``feature operator value`` has held for ``hold_s`` seconds, until ``run_up_s``
    seconds after the last such reading.

    Raises
    ------
    InputError
        Names the invalid field.
    """

    feature: str
    operator: str
    value: float
    hold_s: float = 0.0
    run_up_s: float = 0.0
    group: str | None = None

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise InputError(
                f"operator: {self.operator!r:.20} is not one of {' '.join(OPERATORS)}",
                field="operator",
            )
        if not abs(self.value) < 1e300:
            raise InputError(f"value: {self.value} is not a finite number", field="value")
        for name in ("hold_s", "run_up_s"):
            if not 0 <= getattr(self, name) <= 366 * 86_400:
                raise InputError(
                    f"{name}: {getattr(self, name)} does not lie between 0 and 366 days", field=name
                )

    @property
    def name(self) -> str:
        """Return the condition in words; other conditions have other names."""
        value = f"{self.value:g}"
        exact = value if float(value) == self.value else repr(self.value)
        return f"{self.feature} {self.operator} {exact}"

    def holds(self, features: Mapping[str, float]) -> bool | None:
        """Return whether a reading meets the condition; None if it lacks the feature."""
        value = features.get(self.feature)
        return None if value is None else OPERATORS[self.operator](value, self.value)


@dataclass(slots=True)
class OffState:
    """Whether a stream's machine is off.

    Attributes
    ----------
    since : by name of each condition that holds, when it began to hold (epoch seconds).
    until : end of the run-up after the last condition that held (epoch seconds).
    by : name of that condition.
    suppressed : whether the newest reading was suppressed, for any reason.
    zeros_since : when the readings began to be rows of zeros (epoch seconds); None: the newest is
        not (:mod:`models.scoring.features.zero_rows`).
    """

    since: dict[str, float] = field(default_factory=dict)
    until: float = 0.0
    by: str = ""
    suppressed: bool = False
    zeros_since: float | None = None

    def to_list(self) -> list[Any] | None:
        """Return the state ready for JSON; None if it is empty."""
        zeros = [] if self.zeros_since is None else [self.zeros_since]
        if not (self.since or self.by or self.suppressed or zeros):
            return None
        return [self.suppressed, self.until, self.by, self.since, *zeros]

    @classmethod
    def from_list(cls, data: Any) -> OffState:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a stored off state.
        """
        state = cls()
        if data is None:
            return state
        suppressed, until, by, since, *zeros = list(data)[:5]
        check("off", (until, *since.values(), *zeros), TIMES)
        if not isinstance(suppressed, bool) or not isinstance(by, str):
            raise ValueError("off: is not a stored off state")
        state.suppressed, state.until, state.by = suppressed, float(until), by
        state.since = {str(name): float(at) for name, at in since.items()}
        state.zeros_since = float(zeros[0]) if zeros else None
        return state


class Suppressor:
    """Decide for each reading of one stream, in order, whether its alarm is suppressed."""

    def __init__(
        self,
        windows: Iterable[MaintenanceWindow],
        conditions: Iterable[OffCondition],
        stream: tuple[str, str | None],
        group: str,
    ) -> None:
        self._windows = [one for one in windows if one.concerns(*stream, group)]
        self._conditions = [one for one in conditions if matches(one.group, group)]

    def __bool__(self) -> bool:
        return bool(self._windows or self._conditions)

    @property
    def features(self) -> set[str]:
        """Return the features used by the conditions."""
        return {condition.feature for condition in self._conditions}

    def take(
        self, state: OffState, at: datetime, features: Mapping[str, float], late: bool = False
    ) -> dict[str, Any] | None:
        """Return why a reading is suppressed, for its metadata; None if it is not.

        Parameters
        ----------
        state
            Whether the machine is off; updated.
        at
            Time of the reading.
        features
            Its values by name.
        late
            The reading is late: leave ``state`` unchanged.
        """
        off = self._off(OffState.from_list(state.to_list()) if late else state, at, features)
        for window in self._windows:
            if window.covers(at):
                why: dict[str, Any] = {"by": MAINTENANCE, "window": window.id}
                if window.reason:
                    why["reason"] = window.reason
                return why
        return off

    def _off(
        self, state: OffState, at: datetime, features: Mapping[str, float]
    ) -> dict[str, Any] | None:
        now = at.timestamp()
        run_ups: dict[str, float] = {}
        for condition in self._conditions:  # two groups' patterns may share a condition
            run_ups[condition.name] = max(run_ups.get(condition.name, 0.0), condition.run_up_s)
        for gone in state.since.keys() - run_ups.keys():  # conditions that were deleted since
            del state.since[gone]
        # a late reading, or a clock set back: the run-up begins after this reading
        ahead = state.until - run_ups.get(state.by, 0.0) > now + ROUNDING_S
        if state.by not in run_ups or ahead:
            state.by = ""
        running: str | None = None
        for condition in self._conditions:
            holds = condition.holds(features)
            if holds is False:
                state.since.pop(condition.name, None)
            if holds:
                state.since[condition.name] = min(state.since.get(condition.name, now), now)
            began = state.since.get(condition.name)
            if began is None or now - began < condition.hold_s:
                continue
            running = running or condition.name
            if holds and (not state.by or now + condition.run_up_s >= state.until):
                state.until, state.by = now + condition.run_up_s, condition.name
        if running is not None:
            return {"by": OFF, "condition": running}
        if state.by and now < state.until:
            return {"by": OFF, "condition": state.by, "run_up": True}
        state.by = ""
        return None


@dataclass(frozen=True, slots=True)
class Suppression:
    """All maintenance windows and off conditions for one effect: alarms or training.

    Parameters
    ----------
    windows, conditions : the usable ones.
    refused : errors of stored ones that are left out.
    """

    windows: tuple[MaintenanceWindow, ...] = ()
    conditions: tuple[OffCondition, ...] = ()
    refused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.windows or self.conditions)

    def of(self, stream: tuple[str, str | None], group: str) -> Suppressor:
        """Return the suppressor of a stream."""
        return Suppressor(self.windows, self.conditions, stream, group)

    def in_group(self, group: str) -> Suppression:
        """Return the part that applies to a group, with its group patterns removed."""
        return Suppression(
            tuple(replace(one, group=None) for one in self.windows if matches(one.group, group)),
            tuple(replace(one, group=None) for one in self.conditions if matches(one.group, group)),
        )

    @classmethod
    def from_rows(
        cls,
        windows: Iterable[Mapping[str, Any]],
        conditions: Iterable[Mapping[str, Any]],
        effect: str,
    ) -> Suppression:
        """Read rows of the database.

        An unusable row, written by plain SQL, does not affect the others: it is left out and its
        error logged.

        Parameters
        ----------
        windows, conditions
            The rows.
        effect
            ``alarms`` or ``training``: windows without this effect are ignored.
        """
        refused: list[str] = []
        planned = _usable(_window_of, (row for row in windows if row[effect]), refused)
        off = _usable(_condition_of, conditions, refused)
        return cls(planned, off, tuple(refused))


def _window_of(row: Mapping[str, Any]) -> MaintenanceWindow:
    known = {one.name: row[one.name] for one in fields(MaintenanceWindow)}
    return MaintenanceWindow(**known | {"id": str(row["id"])})


def _condition_of(row: Mapping[str, Any]) -> OffCondition:
    return OffCondition(**{one.name: row[one.name] for one in fields(OffCondition)})


def _usable(
    make: Callable[[Mapping[str, Any]], T], rows: Iterable[Mapping[str, Any]], refused: list[str]
) -> tuple[T, ...]:
    """Build objects from the usable rows; add the errors of the others to ``refused``."""
    found = []
    for row in rows:
        try:
            found.append(make(row))
        except InputError as error:
            what = (
                f"maintenance window {row['id']}"
                if "id" in row
                else f"off condition on {row['feature']!r:.80}"
            )
            refused.append(f"{what} is left out: {error.message}")
            _log_once(refused[-1])
    return tuple(found)


@lru_cache(maxsize=1000)
def _log_once(message: str) -> None:
    log.error("%s", message, extra={"action": "plan_refused"})


def suppressed_rows(
    suppressor: Suppressor, times: Sequence[datetime], rows: Iterable[Mapping[str, float]]
) -> list[bool]:
    """Return which readings of one stream are suppressed.

    Parameters
    ----------
    suppressor
        The stream's suppressor.
    times : (n,)
        Ascending times of the readings.
    rows : (n,)
        Their features by name.
    """
    state = OffState()
    return [
        suppressor.take(state, at, row) is not None for at, row in zip(times, rows, strict=True)
    ]
