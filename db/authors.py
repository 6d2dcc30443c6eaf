"""Say who asked for a change on the command line, and why."""

from __future__ import annotations

import argparse
import getpass

from db.encoding import clean_text
from schemas import check_name

_LONGEST = 2000  # characters of a reason


def add_author_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--why`` and ``--who``, stored with ``what``."""
    parser.add_argument("--why", help=f"reason, stored with {what}")
    parser.add_argument("--who", help=f"author, stored with {what} (default: the login name)")


def author_of(arguments: argparse.Namespace) -> tuple[str, str | None]:
    """Return the author and the reason, None if none is given.

    Raises
    ------
    InputError
        The author is no valid name.
    """
    who = check_name(arguments.who or _login_name(), "--who")
    return who, clean_text(arguments.why or "")[:_LONGEST] or None


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user of a container may have no name
        return "command line"
