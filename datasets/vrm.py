"""Read the three lines of names of Victron's VRM exports: device, description and unit.

The zone of the times stands below the name of their column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from zoneinfo import available_timezones

_ZONE: Final = re.compile(r"(?P<zone>[A-Z]\w*(?:/[\w+-]+)*) \([+-]\d\d:\d\d\)")


def is_vrm(table: Sequence[Sequence[str]]) -> bool:
    """Return whether a table begins with the lines of devices, of descriptions and of units."""
    if len(table) < 4 or not all(table[:3]):
        return False
    devices, described, units = table[:3]
    zone = _ZONE.fullmatch(described[0].strip())
    return (
        devices[0].strip().casefold() == "timestamp"
        and zone is not None
        and zone["zone"] in available_timezones()
        and not units[0].strip()
        and len(devices) == len(described) == len(units)
    )


def vrm_names(devices: Sequence[str], described: Sequence[str]) -> list[str]:
    """Return names such as ``Battery Monitor [256] Voltage``; that of the times tells their zone.

    Parameters
    ----------
    devices, described
        The first two lines, of which the second begins with the zone.
    """
    zone = _ZONE.fullmatch(described[0].strip())
    names = [f"{a.strip()} {b.strip()}" for a, b in zip(devices[1:], described[1:], strict=True)]
    return [f"timestamp ({zone['zone']})" if zone else "timestamp", *names]
