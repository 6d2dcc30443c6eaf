"""Bodies and queries are read within limits, and errors are answered with what helps."""

from __future__ import annotations

import asyncio
import gzip

import orjson
import pytest

from errors import AccessDenied, AnomalyError, Busy, InputError, TooLarge
from serving.http.bodies import error_response, read_body, read_query, versioned_response
from tests.fixtures.asgi import request


def read(body: bytes | list[bytes], **headers: str) -> bytes:
    return asyncio.run(read_body(request(body=body, **headers), 100))


def test_a_body_is_read_in_parts_and_unpacked() -> None:
    assert read([b"ab", b"", b"c"]) == b"abc"
    assert read(gzip.compress(b"x" * 100, mtime=0), content_encoding=" GZIP ") == b"x" * 100
    assert read(b"abc", content_encoding="identity") == b"abc"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {"content_length": "101"}),
        (b"", {"content_length": "9" * 5000}),  # longer than Python makes a number of
        ([b"x" * 60, b"x" * 60], {}),
        (gzip.compress(b"x" * 101, mtime=0), {"content_encoding": "gzip"}),
    ],
)
def test_a_body_beyond_the_limit_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(TooLarge, match="larger than 100 bytes"):
        read(body, **headers)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"x", "br", 415),
        (b"x", "gzip, gzip", 415),
        (b"not packed", "gzip", 400),
        (gzip.compress(b"x" * 50, mtime=0)[:-4], "gzip", 400),
        (gzip.compress(b"x", mtime=0) + b"more", "gzip", 400),
    ],
)
def test_what_cannot_be_unpacked_says_so(body: bytes, encoding: str, status: int) -> None:
    with pytest.raises(InputError) as caught:
        read(body, content_encoding=encoding)
    assert caught.value.status == status


def test_two_encodings_in_headers_of_their_own_are_not_one() -> None:
    asked = request(body=gzip.compress(b"x", mtime=0), content_encoding="gzip")
    asked.scope["headers"] *= 2
    with pytest.raises(InputError, match="'gzip, gzip' is not supported"):
        asyncio.run(read_body(asked, 100))


def test_a_query_is_read_once_per_name() -> None:
    assert read_query(request(query="a=1&b=%20x&c=")) == {"a": "1", "b": " x", "c": ""}
    with pytest.raises(InputError, match="a: given twice"):
        read_query(request(query="a=1&a=2"))
    for query in ("a=%ff", "&".join(f"a{n}=1" for n in range(101))):
        with pytest.raises(InputError, match="UTF-8 text with at most 100 fields"):
            read_query(request(query=query))


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (Busy("full", retry_after=0.2), "retry-after", "1"),
        (Busy("full", retry_after=2.1), "retry-after", "3"),
        (AccessDenied("who?"), "www-authenticate", "Bearer"),
        (InputError("packed", status=415), "accept-encoding", "gzip"),
    ],
)
def test_an_error_says_what_to_do(error: AnomalyError, header: str, value: str) -> None:
    answer = error_response(error)
    assert (answer.status_code, answer.headers[header]) == (error.status, value)


def test_an_error_that_quotes_what_is_no_text_is_still_json() -> None:
    body = orjson.loads(error_response(InputError("name: \ud800", field="a\udfff")).body)
    assert body["error"]["message"] == "name: ?"


def test_the_version_of_a_row_is_its_etag() -> None:
    assert versioned_response({"version": 7}).headers["etag"] == '"7"'
