"""Count the lines of comments above a text file's table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: How comments begin; MATLAB's have a blank after the sign, %time is a name.
_COMMENT: Final = re.compile(r"\s*(#|%(?=[\s%]|$))")
#: The last line of a header in LabVIEW's measurement files (.lvm), which may have two headers.
_LABVIEW_END: Final = "***End_of_Header***"


def comments_above(lines: Sequence[str], most: int) -> int:
    """Return the number of lines of comments, or of LabVIEW's headers, before any other line.

    Parameters
    ----------
    lines : the first lines of the file.
    most : the most lines of a header.
    """
    ends = [n for n, line in enumerate(lines[:most]) if line.startswith(_LABVIEW_END)]
    if ends:
        return ends[-1] + 1
    count = next((n for n, line in enumerate(lines) if not _COMMENT.match(line)), 0)
    return count if any(lines[count:]) else 0
