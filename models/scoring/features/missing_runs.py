"""Score features that stay without a value, as those of a sensor that has failed for good.

A missing value is imputed from the other features, so nothing in a row shows that a sensor never
comes back. How long features lacked values in training does. The rarity of a feature that has
lacked one for ``r`` readings in a row counts, in decades, beside the detectors' combined magnitude,
as that of :mod:`models.scoring.features.standing` does.

A value that no sensor measured (:mod:`models.scoring.features.garbage`) makes its reading a sensor
fault that teaches nothing. After LASTING such readings the sensor has failed: from then on its
value counts as missing, so that the other features are watched. Training never saw such a value
last, so such a run is as rare however long the feature lacked values in training.

Runs are part of the stream's state, because most are longer than its window.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from models.arrays import Floats
from models.scoring.state_values import TIMES, check
from models.scoring.stored import Stored

#: A run counts from the next reading on. Where at most half of training's readings lacked a value
#: by chance, a longer run comes once in a million; and a few lost values are no incident.
LASTING: Final = 20
#: Outages of training are few, so that one in some lasts longer than all before; hardly any does
#: this many times as long: as many times fewer as they were in training, if they end by chance.
TIMES_LONGER: Final = 2
#: Instead of a length: a run of any length is normal, but not values that no sensor measured.
NOT_WATCHED: Final = -1
#: Readings beyond training's longest run that add to the rarity, at most.
_COUNTED: Final = 30
#: Decades of each further impossible value in a row: probability one half, since training saw none.
_HALF: Final = 0.301
#: Maximum number of features followed, at some 30 bytes each: a state must fit into 4 KB.
MAX_FOLLOWED: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class MissingRuns(Stored):
    """How long features lacked values in training; by :mod:`models.fitting.missing_rates`.

    Parameters
    ----------
    longest : (d,) readings of the longest run, by feature in the detectors' order; NOT_WATCHED for
        a feature that some stream of training never had.
    first, further : (d,) decades of the first reading of a longer run, and of each further one.
    """

    KEYS: ClassVar = ("longest", "first", "further")

    longest: Floats
    first: Floats
    further: Floats

    def rarity(self, feature: int, run: Run) -> float:
        """Return the rarity of a run of one feature, in decades."""
        longest, further = float(self.longest[feature]), float(self.further[feature])
        if run.garbage > LASTING:
            beyond, further = float(run.garbage), max(further, _HALF)
        elif longest == NOT_WATCHED or run.length <= max(TIMES_LONGER * longest, LASTING):
            return 0.0
        else:
            beyond = run.length - longest
        return float(self.first[feature] + min(beyond - 1, _COUNTED) * further)


@dataclass(slots=True)
class Run:
    """Readings in a row without a value of one feature.

    Attributes
    ----------
    since : time of the first, in whole seconds since 1970.
    length : their number.
    garbage : how many of them had a value that no sensor measured.
    """

    since: int
    length: int = 0
    garbage: int = 0


@dataclass(slots=True)
class OpenRuns:
    """The features of one stream that lack values now, by number in the detectors' order."""

    known: dict[int, Run] = field(default_factory=dict)

    def take(self, lacking: Collection[int], garbage: Collection[int], at: float) -> None:
        """Add a reading.

        Parameters
        ----------
        lacking, garbage
            Features without a value, and with one that no sensor measured.
        at
            Time of the reading, in seconds since 1970.
        """
        gone = {*lacking, *garbage}
        self.known = {feature: run for feature, run in self.known.items() if feature in gone}
        for feature in sorted(gone):
            if feature in self.known or len(self.known) < MAX_FOLLOWED:
                run = self.known.setdefault(feature, Run(int(at)))
                run.since = min(run.since, int(at))  # the clock may have been set back
                run.length += 1
                run.garbage += feature in garbage

    def failed(self, garbage: Collection[int]) -> bool:
        """Return whether all of these features have sent such values for LASTING readings."""
        return all(
            feature in self.known and self.known[feature].garbage > LASTING for feature in garbage
        )

    def to_list(self) -> list[Any]:
        """Return the runs ready for JSON, exactly."""
        return [[at, run.since, run.length, run.garbage] for at, run in self.known.items()]

    @classmethod
    def from_list(cls, data: Any) -> OpenRuns:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a list of runs.
        """
        out = cls()
        for at, since, length, garbage in list(data)[:MAX_FOLLOWED]:
            check("missing", (at, length, garbage), (0, 2**31))
            check("missing", (since,), TIMES)
            out.known[int(at)] = Run(int(since), int(length), int(garbage))
        return out
