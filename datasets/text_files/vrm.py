"""Read the three lines of names of Victron's VRM exports: device, description and unit.

The zone of the times stands below the name of their column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from zoneinfo import available_timezones

_ZONE: Final = re.compile(r"(?P<zone>[A-Z]\w*(?:/[\w+-]+)*) \([+-]\d\d:\d\d\)")


def vrm_names(table: Sequence[Sequence[str]]) -> list[str] | None:
    """Return names such as ``Battery Monitor [256] Voltage``, if a table begins with such lines.

    That of the times tells their zone.
    """
    if len(table) < 4 or not all(table[:3]):
        return None
    devices, described, units = table[:3]
    zone = _ZONE.fullmatch(described[0].strip())
    if (
        zone is None
        or zone["zone"] not in available_timezones()
        or devices[0].strip().casefold() != "timestamp"
        or units[0].strip()
        or not len(devices) == len(described) == len(units)
    ):
        return None
    names = [f"{a.strip()} {b.strip()}" for a, b in zip(devices[1:], described[1:], strict=True)]
    return [f"timestamp ({zone['zone']})", *names]
