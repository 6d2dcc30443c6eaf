"""Move a sensor's readings to one level where it was replaced, adjusted or failed for long.

Such a sensor shifts, and nothing else moves with it (:mod:`models.fitting.faults.sensor_shifts`).
Left as it is, one shift in one stream makes levels seem to wander: everything then adapts widely,
and faults of other sensors are missed, too.

- If it comes back, it was a fault: the readings until then are moved back.
- If it stays, it was replaced or adjusted: the earlier readings are moved to the new level, or
  multiplied if it was scaled anew. Live, the product settles at a level that lasts, too
  (:mod:`models.scoring.alarms.settling`).
- But a fault that still lasts when training ends looks the same. Where the other streams of a group
  read as this one did before (:mod:`models.fitting.faults.other_streams`), the later readings are
  moved back: else the fault would be normal, and the sensor watched in no stream. A late shift that
  they do not confirm is left.

A heater that was on for some days, alone, looks like a fault, too. A feature that is named as an
indicator of operating conditions has levels of its own, and is left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from models.arrays import Floats
from models.fitting.faults.other_streams import OtherStreams
from models.fitting.faults.sensor_shifts import Shift, shifts_of
from models.fitting.places import Places


def realigned(
    streams: Sequence[Floats],
    names: Sequence[str],
    places: Places | None = None,
    conditions: Collection[str] = (),
) -> tuple[list[Floats], list[str]]:
    """Return streams (n_i, d) with all readings of a sensor that shifts at one level, and notes.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in order, without missing values.
    names : (d,)
        Feature names.
    places
        Says where readings are, for the notes.
    conditions
        Features that are named as indicators of operating conditions: these are left.
    """
    out, notes = [], []
    places, lengths = places or Places(), [len(stream) for stream in streams]
    others = OtherStreams(streams)
    for number, values in enumerate(streams):
        moved = values
        for shift in shifts_of(values):
            if names[shift.feature] in conditions:
                continue
            begin = places.of_one(number, shift.begin, lengths)
            if shift.end < len(values):
                end = places.of_one(number, shift.end, lengths)
                note, back = _came_back(names[shift.feature], shift, begin, end), True
            elif others.read_as_before(number, shift.feature, shift.begin):
                note, back = _lasts(names[shift.feature], shift, begin), True
            elif shift.is_late(len(values)):
                continue
            else:
                note, back = _replaced(names[shift.feature], shift, begin), False
            moved = shift.moved(moved, inside=back)
            notes.append(note)
        out.append(moved)
    return out, notes


def _replaced(name: str, shift: Shift, begin: str) -> str:
    factor = shift.factor
    done = "moved to its new level" if factor is None else f"multiplied by {factor:.4g}"
    return (
        f"{name}: {_what(shift)} for good at {begin}, and no other feature with it: a sensor that"
        f" was replaced or adjusted. The readings before were {done} (--trim 0 leaves them)"
    )


def _lasts(name: str, shift: Shift, begin: str) -> str:
    done = "moved back" if shift.factor is None else f"divided by {shift.factor:.4g}"
    return (
        f"{name}: {_what(shift)} for good at {begin}, and no other feature with it, while the other"
        " streams read as it did before: a fault that lasts, or a sensor that reads otherwise now."
        f" The readings since were {done}, so live they are judged by the level before"
        " (--trim 0 leaves them)"
    )


def _came_back(name: str, shift: Shift, begin: str, end: str) -> str:
    return (
        f"{name}: {_what(shift)} at {begin} and back at {end}, and no other feature with it: a"
        " fault that nobody labelled. These readings were moved back (--trim 0 leaves them); if"
        " both levels are normal, a feature named by --condition keeps normal values at each"
    )


def _what(shift: Shift) -> str:
    if shift.factor is None:
        return f"shifts by {shift.size:+.4g}"
    return f"reads {shift.factor:.4g} times as much"
