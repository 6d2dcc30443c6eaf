"""Leave out columns that tell the times of the readings a second time, as numbers."""

from __future__ import annotations

from datasets.sampled_columns import Columns, Roles
from datasets.times.time_columns import counts_from_1970


def leave_out_epochs(columns: Columns, roles: Roles) -> None:
    """Leave out columns that count from 1970 beside the times that are used: they are no feature.

    Parameters
    ----------
    columns
        The file's columns.
    roles
        The roles found so far; receives the columns to leave out, and notes.
    """
    taken = {*roles.used(), *roles.excluded, *columns.timed, *columns.nested}
    for index, name in enumerate(columns.names):
        if roles.times and index not in taken and counts_from_1970(columns, index):
            roles.excluded.add(index)
            roles.notes.append(
                f"column {name!r} counts from 1970 beside the times: left out (--features chooses)"
            )
