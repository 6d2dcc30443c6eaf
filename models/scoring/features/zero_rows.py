"""Recognise rows of zeros: readings in which every feature is 0.

A device sends them while it restarts, or while it does not reach its sensors. Where training holds
such rows (:mod:`models.fitting.garbage.zero_row_fit`), they are no measurements. Live, they are
suppressed like readings of a machine that is off, and not scored, for up to twice as long as they
ever lasted in training. Zeros that last longer are judged: the device has failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from models.scoring.maintenance.suppression import OFF, ROUNDING_S, OffState
from models.scoring.stored import Stored

#: How it is named among the conditions under which a machine is off.
CONDITION: Final = "all features are 0"


@dataclass(frozen=True, slots=True)
class ZeroRows(Stored):
    """Rows of zeros of a group's devices.

    Parameters
    ----------
    names : the features that are all 0, at least two.
    longest_s : for how long they are no measurements, in seconds.
    """

    KEYS: ClassVar = ("names", "longest_s")

    names: tuple[str, ...]
    longest_s: float

    def holds(self, features: Mapping[str, float]) -> bool:
        """Return whether all features that a reading has are 0, of which it has at least two."""
        sent = 0
        for name in self.names:
            value = features.get(name)
            if value:
                return False
            sent += value is not None
        return sent > 1

    def take(
        self, state: OffState, at: datetime, features: Mapping[str, float], late: bool = False
    ) -> dict[str, Any] | None:
        """Return why a reading is suppressed, for its metadata; None if it is not.

        Parameters
        ----------
        state
            Since when the stream has sent zeros; updated.
        at
            Time of the reading.
        features
            Its values by name.
        late
            The reading is late: leave ``state`` unchanged.
        """
        now, since = at.timestamp(), state.zeros_since
        if not self.holds(features):
            if not late:
                state.zeros_since = None
            return None
        since = now if since is None else min(since, now)
        if not late:
            state.zeros_since = since
        if now - since > self.longest_s + ROUNDING_S:
            return None
        return {"by": OFF, "condition": CONDITION}
