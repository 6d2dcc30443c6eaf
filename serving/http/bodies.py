"""Read bodies and queries up to their limits; encode responses in JSON."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from errors import AnomalyError, InputError, TooLarge, Unavailable


def read_query(request: Request) -> dict[str, str]:
    """Read the query's parameters; a repeated parameter is an error.

    Raises
    ------
    InputError
    """
    raw = request.scope.get("query_string", b"").decode("latin-1")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise InputError("the query must be UTF-8 text with at most 100 fields") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise InputError(f"{name}: given twice", field=name[:64])
        found[name] = value
    return found


async def read_body(request: Request, limit: int) -> bytes:
    """Read and decompress the body.

    Raises
    ------
    TooLarge
        It has more than ``limit`` bytes; the excess is not kept in memory.
    InputError
        See :func:`unpacked`.
    """
    declared = encoding = b""
    for name, value in request.scope["headers"]:
        if name == b"content-length":
            declared = value
        elif name == b"content-encoding":
            encoding = encoding + b", " + value if encoding else value
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:  # cheaper than Starlette's stream, which creates an async generator
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    return unpacked(body, encoding.decode("latin-1"), limit) if encoding else body


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """Decompress the body according to ``Content-Encoding``.

    Parameters
    ----------
    encoding : str
        ``gzip`` or ``identity``.
    limit : int
        Maximum size of the decompressed body.

    Raises
    ------
    InputError
        415: another encoding, or several; 400: not gzip, or truncated.
    TooLarge
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise InputError(
            f"Content-Encoding: {encoding!r:.40} is not supported; send gzip or no compression",
            code="unsupported_encoding",
            field="content-encoding",
            status=415,
        )
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip's header and checksum
    try:
        content = inflate.decompress(body, limit + 1)
        if len(content) > limit:
            raise _too_large(limit)
        if not inflate.eof or inflate.unused_data:
            raise zlib.error("truncated, or followed by other bytes")
    except zlib.error as error:
        raise InputError(
            f"the body is not one gzip file: {error}", code="bad_gzip", status=400
        ) from None
    return content


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit} bytes (MAX_BODY_BYTES)", code="body_too_large"
    )


class JsonResponse(Response):
    """Encode a response as JSON with orjson, including numpy numbers and UUIDs."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def versioned_response(row: Mapping[str, Any], status: int = 200) -> Response:
    """Return a row as the response, with its version as the ETag for ``If-Match``."""
    response = JsonResponse(row, status)
    response.headers["etag"] = f'"{row["version"]}"'
    return response


def error_response(error: AnomalyError) -> Response:
    """Return ``{"error": {"code", "message", "field"}}``, with ``Retry-After``."""
    response = JsonResponse({"error": printable(error.entry())}, error.status)
    if isinstance(error, Unavailable):
        response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    elif error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    elif error.status == 415:
        response.headers["accept-encoding"] = "gzip"
    return response


def printable(entry: dict[str, Any]) -> dict[str, Any]:
    """Replace characters in an error's text that UTF-8 cannot encode, since it quotes input."""
    return {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in entry.items()
    }
