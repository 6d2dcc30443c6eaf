"""What a path names: ids and assets, the same for every call."""

from __future__ import annotations

from urllib.parse import unquote
from uuid import UUID

from starlette.requests import Request

from errors import NotFound
from schemas import check_name


def path_id(request: Request, what: str, name: str = "id") -> UUID:
    """Read the id called ``name`` out of the path; ``what`` names its kind in errors.

    Parameters
    ----------
    request : Request
    what : str
        Of what it is the id, for the error.
    name : str
        The parameter's name in the path.

    Raises
    ------
    NotFound
        It is no UUID, so nothing has it.
    """
    text = request.path_params[name]
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"no {what} {text[:80]!r}: ids are UUIDs") from None


def path_asset(request: Request, before: str, after: str = "") -> str:
    """Read an asset's name out of the path as it came: it may hold a slash, percent-encoded.

    Parameters
    ----------
    before, after : str
        What stands around the name in the path.

    Raises
    ------
    NotFound, InputError
        The slash is not encoded, or the name is none.
    """
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    encoded = raw.split(b"?")[0].removesuffix(b"/")
    encoded = encoded.removeprefix(before.encode()).removesuffix(after.encode())
    if b"/" in encoded:
        raise NotFound("no such path; a / in an asset's name is written %2F")
    try:
        return check_name(unquote(encoded.decode("ascii"), errors="strict"), "asset_id")
    except UnicodeDecodeError:
        raise NotFound("asset_id: is not percent-encoded UTF-8") from None
