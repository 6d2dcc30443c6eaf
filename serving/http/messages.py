"""The few pieces of HTTP that the routes need: bodies with a limit, JSON, errors.

The routes handle tens of thousands of readings a second, so nothing here is generic: a body is
read once, parsed by orjson, and an answer is two ASGI messages.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from errors import AnomalyError, InputError, TooLarge, Unavailable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Headers(Mapping[str, str]):
    """The request's headers by lower-case name; the last one of a name wins."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode("latin-1")
        for key, value in reversed(self._raw):
            if key == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def text(self, name: bytes) -> str:
        """A header's value by its lower-case name, or nothing; quicker than by the mapping."""
        for key, value in self._raw:
            if key == name:
                return value.decode("latin-1")
        return ""

    def __iter__(self) -> Any:
        return (key.decode("latin-1") for key, _ in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


@dataclass(slots=True)
class Request:
    """One call. ``path`` is what the route left over, such as the id of a detection."""

    scope: Scope
    receive: Receive
    path: str = ""

    @property
    def headers(self) -> Headers:
        return Headers(self.scope["headers"])

    def query(self) -> dict[str, str]:
        """The query's parameters; one given twice is an error, never a guess.

        Raises
        ------
        InputError
        """
        raw = self.scope.get("query_string", b"").decode("latin-1")
        try:
            pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise InputError("the query is not UTF-8 text of at most 100 fields") from None
        found: dict[str, str] = {}
        for name, value in pairs:
            if name in found:
                raise InputError(f"{name}: given twice", field=name[:64])
            found[name] = value
        return found

    async def json(self, limit: int) -> Any:
        """The body, parsed.

        Raises
        ------
        TooLarge
            More than ``limit`` bytes; what is too much is not kept.
        InputError
            400: not UTF-8 JSON, or nested deeper than 1,000 levels; see also :func:`unpacked`.
        """
        body = await self._body(limit)
        encoding = self.headers.text(b"content-encoding")
        if encoding:
            body = unpacked(body, encoding, limit)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            wrong = InputError(f"the body is not valid JSON: {error}", code="bad_json")
            wrong.status = 400
            raise wrong from None

    async def _body(self, limit: int) -> bytes:
        declared = self.headers.text(b"content-length")
        if declared.isdigit() and int(declared[:20]) > limit:
            raise _too_large(limit)
        message = await self.receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts = [body]
            size = len(body)
            while message.get("more_body"):
                message = await self.receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise _too_large(limit)
            body = b"".join(parts)
        if len(body) > limit:
            raise _too_large(limit)
        return body


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its ``Content-Encoding``.

    Parameters
    ----------
    encoding : str
        ``gzip`` or ``identity``.
    limit : int
        Bytes of the unpacked body; no more than these are ever unpacked.

    Raises
    ------
    InputError
        415: another encoding, or several; 400: not gzip, or cut short.
    TooLarge
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        wrong = InputError(
            f"Content-Encoding: {encoding!r:.40} is not understood; send gzip, or nothing packed",
            code="unsupported_encoding",
            field="content-encoding",
        )
        wrong.status = 415
        raise wrong
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip's header and checksum
    try:
        content = inflate.decompress(body, limit + 1)
        if len(content) > limit:
            raise _too_large(limit)
        if not inflate.eof or inflate.unused_data:
            raise zlib.error("cut short, or followed by something else")
    except zlib.error as error:
        damaged = InputError(f"the body is not one gzip file: {error}", code="bad_gzip")
        damaged.status = 400
        raise damaged from None
    return content


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit} bytes (MAX_BODY_BYTES)", code="body_too_large"
    )


@dataclass(slots=True)
class Answer:
    """Status, body and further headers of one response."""

    body: bytes
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content_type: bytes = b"application/json"

    async def send(self, send: Send, *, head: bool = False) -> None:
        """Write it out; to a HEAD request its headers only."""
        headers = [
            (b"content-type", self.content_type),
            (b"content-length", str(len(self.body)).encode()),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else self.body})


def dumps(content: Any) -> bytes:
    """JSON; numpy numbers and UUIDs included."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def json_answer(content: Any, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(dumps(content), status)


def error_answer(error: AnomalyError) -> Answer:
    """An error as JSON: ``{"error": {"code", "message", "field"}}``, with ``Retry-After``."""
    answer = Answer(dumps({"error": printable(error.entry())}), error.status)
    if isinstance(error, Unavailable):
        answer.headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    elif error.status == 401:
        answer.headers.append((b"www-authenticate", b"Bearer"))
    elif error.status == 415:
        answer.headers.append((b"accept-encoding", b"gzip"))
    return answer


def printable(entry: dict[str, Any]) -> dict[str, Any]:
    """Error texts quote what was sent; what UTF-8 cannot carry is replaced."""
    return {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in entry.items()
    }
