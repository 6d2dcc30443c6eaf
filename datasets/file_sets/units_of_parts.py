"""Compare the units that long tables give in a column, from one file of a data set to the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from datasets.file_sets.parts import Part
from datasets.types import StreamKey, named
from datasets.values.units import differ
from errors import DatasetError


def compare_units(parts: Sequence[Part]) -> list[str]:
    """Return notes on sensors whose assets have different units in different files.

    Raises
    ------
    DatasetError
        One sensor of an asset has values in two units of the same quantity.
    """
    streams: dict[StreamKey, dict[str, str]] = {}
    sensors: dict[str | None, dict[str, str]] = {}
    for part in parts:
        assets = {stream.asset_id for stream in part.data.streams}
        for key, units in part.data.units_of_streams.items():
            if key[0] not in assets:  # two files of one name: their assets have other names now
                continue
            for unit in units:
                streams.setdefault(key, {}).setdefault(unit, part.shown)
                sensors.setdefault(key[1], {}).setdefault(unit, part.shown)
    for key, seen in streams.items():
        for told in _differences(seen)[:1]:
            raise DatasetError(
                f"{named(key)}: {told}: convert one of them, or --exclude the column of units,"
                " which takes the values as they are"
            )
    return [
        f"{sensor or 'the values'}: {told}; the values are used as they are"
        for sensor, seen in sensors.items()
        for told in _differences(seen)[:1]
    ]


def _differences(seen: dict[str, str]) -> list[str]:
    """Return the pairs of units that differ; ``seen`` has the file of each."""
    return [
        f"in {one!r} in {seen[one]}, in {other!r} in {seen[other]}"
        for one, other in combinations(seen, 2)
        if seen[one] != seen[other] and differ(one, other)
    ]
