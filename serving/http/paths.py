"""Parse ids and asset names in paths."""

from __future__ import annotations

from urllib.parse import unquote
from uuid import UUID

from starlette.requests import Request

from errors import NotFound
from schemas import check_name


def path_id(request: Request, what: str, name: str = "id") -> UUID:
    """Parse the path parameter ``name`` as an id.

    Parameters
    ----------
    request : Request
    what : str
        Kind of the object, for the error.
    name : str
        Name of the path parameter.

    Raises
    ------
    NotFound
        It is not a UUID, so no object has it.
    """
    text = request.path_params[name]
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"no {what} {text[:80]!r}: ids are UUIDs") from None


def path_asset(request: Request, before: str, after: str = "") -> str:
    """Parse an asset's name from the raw path, since it may contain a percent-encoded slash.

    Parameters
    ----------
    before, after : str
        The path before and after the name.

    Raises
    ------
    NotFound, InputError
        The slash is not encoded, or the name is invalid.
    """
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    encoded = raw.split(b"?")[0].removesuffix(b"/")
    encoded = encoded.removeprefix(before.encode()).removesuffix(after.encode())
    if b"/" in encoded:
        raise NotFound("no such path; write a / in an asset's name as %2F")
    try:
        return check_name(unquote(encoded.decode("ascii"), errors="strict"), "asset_id")
    except UnicodeDecodeError:
        raise NotFound("asset_id: is not percent-encoded UTF-8") from None
