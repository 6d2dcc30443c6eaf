"""Bodies of what people do: checked, with the name that it is logged under."""

from __future__ import annotations

import asyncio

import pytest

from errors import InputError, TooLarge
from serving.http.body_reader import BodyReader
from serving.http.callers import ANONYMOUS, Callers
from serving.requests.feedback_bodies import SpanFeedback, Withdrawal
from tests.fixtures.asgi import request

READER = BodyReader(Callers.parse("", ""), 60)


def test_a_body_comes_with_a_name_or_without() -> None:
    body, who = asyncio.run(READER.read(request(body=b'{"why":"wrong","who":"ANNA"}'), Withdrawal))
    assert (body.why, who) == ("wrong", "ANNA")
    assert asyncio.run(READER.read(request(), Withdrawal)) == (Withdrawal(), ANONYMOUS)


def test_only_an_optional_body_may_be_left_out() -> None:
    with pytest.raises(InputError, match="not valid JSON"):
        asyncio.run(READER.read(request(), SpanFeedback, optional=False))
    with pytest.raises(InputError, match="is missing"):
        asyncio.run(READER.read(request(), SpanFeedback))


@pytest.mark.parametrize("body", [b'{"who":""}', b'{"why":1}', b'{"other":1}', b"[]"])
def test_a_wrong_body_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        asyncio.run(READER.read(request(body=body), Withdrawal))


def test_a_large_body_is_refused() -> None:
    with pytest.raises(TooLarge):
        asyncio.run(READER.read(request(body=b" " * 61), Withdrawal))
