"""Leave out columns that mark the daylight saving of local times: they are no feature."""

from __future__ import annotations

import re
from typing import Final

from datasets.columns.long_tables import names_sensors
from datasets.sampled_columns import Columns, Roles, plain_name

_NAME: Final = re.compile(
    "(is)?(dst|daylight(savings?)?(time)?|summertime|sommerzeit|winterzeit|mesz|sz)(flag|active)?"
)
#: What other columns hold, in lower case.
_MARKS: Final = tuple(
    frozenset(pair.split("/"))
    for pair in ("s/w", "st/nt", "sz/wz", "sz/nz", "summer/winter", "sommer/winter", "dst/std",
                 "daylight/standard", "sommerzeit/winterzeit", "sommerzeit/normalzeit")
)  # fmt: skip


def leave_out_marks(columns: Columns, roles: Roles, wished: list[int]) -> None:
    """Leave out columns of two kinds that tell summer from winter time.

    Parameters
    ----------
    columns
        The file's columns.
    roles
        The roles found so far; receives the columns to leave out, and notes.
    wished
        Columns that the caller wants as features.
    """
    taken = {*roles.used(), *roles.excluded, *wished}
    for index, name in enumerate(columns.names):
        if index in taken or not roles.times:
            continue
        kinds = {cell.casefold() for cell in columns.filled(index, everywhere=True)}
        bare = plain_name(name)
        named = _NAME.fullmatch(bare) is not None and 0 < len(kinds) <= 2
        if named or (kinds in _MARKS and not names_sensors(bare)):
            roles.excluded.add(index)
            roles.notes.append(
                f"column {name!r} marks daylight saving, which --time-zone NAME tells: left out"
            )
