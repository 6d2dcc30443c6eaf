"""Tell the zone of local times by the name of their column: Time (UTC+1), Time (Europe/Berlin)."""

from __future__ import annotations

import re
from typing import Final
from zoneinfo import available_timezones

from datasets.sampled_columns import Columns, Roles, plain_name
from datasets.times.local_clock import FIXED_ZONE

_OFFSET: Final = re.compile(r"(?:UTC|GMT) ?([+-]) ?(0?\d|1[0-2])(?::?00)?(?![\d:])")
_ZONE_NAME: Final = re.compile(r"[A-Z]\w+(?:/[A-Z][\w+-]+){1,2}")
#: What says that times are not in UTC, but leaves open what they are: clocks of CET may be set to
#: daylight saving, and CST has several meanings.
_LOCAL: Final = re.compile(
    r"(?<![A-Za-z])(?:CE|ME|WE|EE|OE|E|C|M|P|B|AE)(?:ST|DT|SZ|T|Z)(?![A-Za-z\d])|"
    r"(?<![A-Za-z])(?:MSK|JST|IST)(?![A-Za-z\d])|(?i:(?<![a-z])lo[ck]al\w*|ortszeit)"
)
_UTC: Final = re.compile(r"UTC|(?<![A-Za-z])(?:GMT|utc|Utc)(?![A-Za-z])|(?<=[a-z])Utc(?![a-z])")
#: Names, in lower case without punctuation, of columns that hold the zone of each time.
_ZONE_COLUMN: Final = re.compile(r"tz|(time|zeit)zone|(utc|gmt|tz)offset\w*|decalageutc")
_NO_OFFSET: Final = re.compile(r"Z|UTC|GMT|Etc/\w+|(?:UTC|GMT)?[+-]?[0:.]+", re.IGNORECASE)
_UTC_ZONES: Final = frozenset(("UTC", "GMT", "Etc/UTC", "Etc/GMT", "Etc/GMT+0", "Zulu"))


def zone_in_name(columns: Columns, roles: Roles) -> str | None:
    """Return the IANA zone that the name of a column of times tells, such as Time (UTC+1)."""
    for name in (columns.names[index] for index in roles.times):
        if found := _OFFSET.search(name):
            return FIXED_ZONE.format(-int(found[1] + found[2])) if int(found[2]) else None
        for zone in _ZONE_NAME.findall(name):
            if zone in available_timezones():
                return str(zone)
    return None


def doubtful_zone(columns: Columns, roles: Roles, zone: str | None) -> str | None:
    """Return a note if a column of zones, or the name of that of local times, speaks against UTC.

    The name may also speak against the zone that the caller gives.

    Parameters
    ----------
    columns, roles
        The file's columns, and which of them are times.
    zone
        IANA zone in which times without an offset are read; None: UTC.
    """
    for index, name in enumerate(columns.names if zone is None else ()):
        if index in roles.times or not _ZONE_COLUMN.fullmatch(plain_name(name)):
            continue
        zones = (cell for cell in columns.filled(index) if not _NO_OFFSET.fullmatch(cell))
        if (other := next(zones, None)) is not None:
            return (
                f"times are read in UTC, yet column {name!r} says {other}, which is not read:"
                " --time-zone names their zone, such as Europe/Berlin, or Etc/GMT-1 for UTC+1 all"
                " year"
            )
    for name in (columns.names[index] for index in roles.times):
        if zone is None and (local := _LOCAL.search(name)):
            return (
                f"times are read in UTC, yet the name of column {name!r} says {local[0]}:"
                " --time-zone names their zone, such as Europe/Berlin, or Etc/GMT-1 for UTC+1 all"
                " year"
            )
        universal = _UTC.search(name) and not _OFFSET.search(name)
        if zone is not None and universal and zone not in _UTC_ZONES:
            return f"times are read in {zone}, yet the name of column {name!r} says UTC"
    return None
