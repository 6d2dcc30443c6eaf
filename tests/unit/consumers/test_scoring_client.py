"""What an answer of the service means to the bridge."""

from __future__ import annotations

import httpx
import orjson
import pytest
from pydantic import SecretStr

from consumers.scoring_client import BatchRefusedError, HttpScorer
from db.encoding import JsonObject, JsonText, encode_json
from errors import Busy, NoModel, Unavailable
from tests.fixtures.settings import given


def scorer(*answers: httpx.Response | Exception) -> HttpScorer:
    """A scorer whose service gives these answers in turn; exceptions are raised."""
    waiting = list(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        answer = waiting.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    settings = given(service_url="http://service", service_api_key=SecretStr("key"))
    return HttpScorer(settings, transport=httpx.MockTransport(handle))


def rejection(status: int, code: str = "x", **headers: str) -> httpx.Response:
    body = {"error": {"code": code, "message": "no", "field": "streams[0]"}}
    return httpx.Response(status, json=body, headers=headers)


def test_answer_is_parsed():
    assert scorer(httpx.Response(200, json={"streams": []})).score(b"{}") == {"streams": []}


@pytest.mark.parametrize(
    ("answer", "kind", "code", "after"),
    [
        (rejection(503, "no_model", **{"retry-after": "7"}), NoModel, "no_model", 7),
        (rejection(503, "busy"), Unavailable, "unavailable", 1),
        (rejection(429, "busy", **{"retry-after": "2"}), Busy, "busy", 2),
        (rejection(429, "busy", **{"retry-after": "soon"}), Busy, "busy", 1),
        (rejection(429, "busy", **{"retry-after": "99999"}), Busy, "busy", 300),
        (rejection(401), Unavailable, "access_denied", 30),
        (rejection(404), Unavailable, "wrong_service", 30),
        (httpx.ConnectError("refused"), Unavailable, "service_unreachable", 0),
        (httpx.ReadTimeout("slow"), Unavailable, "service_unreachable", 0),
        (httpx.Response(200, text="<html>"), Unavailable, "bad_answer", 1),
        (httpx.Response(200, json=[]), Unavailable, "bad_answer", 1),
        (httpx.Response(200, json={"anomalies": []}), Unavailable, "bad_answer", 1),
        (httpx.Response(200, json={"streams": [{"results": 5}]}), Unavailable, "bad_answer", 1),
    ],
)
def test_reasons_to_wait(answer, kind, code, after):
    with pytest.raises(kind) as caught:
        scorer(answer).score(b"{}")
    assert (caught.value.code, caught.value.retry_after) == (code, after)


@pytest.mark.parametrize("status", [400, 413, 422, 500, 502, 504])
def test_reasons_to_split(status):
    with pytest.raises(BatchRefusedError) as caught:
        scorer(rejection(status, "some_code")).score(b"{}")
    assert (caught.value.code, caught.value.field) == ("some_code", "streams[0]")


def test_what_is_long_stays_text_and_nothing_is_lost():
    explanation = {
        "features": [{"feature": "r\u00fcm", "share": 0.1, "value": 1e-300}],
        "votes": {},
    }
    metadata = {"window": "added", "event": {"id": "e"}, "explanation": explanation, "new": [1]}
    scored = {"scores": [{"p": 0.5}], "final_score": 0.25, "p": None, "is_anomaly": True,
              "metadata": metadata, "of a later release": {"a": [None]}}  # fmt: skip
    refused = {"error": {"code": "no_group"}, "metadata": {"window": "left_out"}}
    sent = {"streams": [
        {"results": [scored, refused], "state": {"last": None}, "window_length": 3},
    ]}  # fmt: skip
    answer = scorer(httpx.Response(200, content=orjson.dumps(sent))).score(b"{}")
    result = answer["streams"][0]["results"][0]
    assert isinstance(result["scores"], JsonText)
    kept = result["metadata"]["explanation"]
    assert isinstance(kept, JsonObject)
    assert kept.get("features") == explanation["features"], "who wants to can read it"
    assert {**result, "scores": [], "metadata": {**result["metadata"], "explanation": {}}} == {
        **scored, "scores": [], "metadata": {**metadata, "explanation": {}},
    }  # fmt: skip
    assert encode_json(answer) == orjson.dumps(sent)


def test_dropped_connection_is_tried_again_at_once():
    dropped = httpx.RemoteProtocolError("disconnected")
    answer = httpx.Response(200, json={"streams": []})
    assert scorer(dropped, httpx.ReadError("reset"), answer).score(b"{}") == {"streams": []}
    with pytest.raises(Unavailable):
        scorer(dropped, dropped, dropped).score(b"{}")


def test_bundle_version_changes_with_any_model():
    def status(version: str) -> httpx.Response:
        return httpx.Response(200, json={"models": {"a": {"version": version}}})

    one, same, other = (scorer(status(v)).bundle_version() for v in ("1", "1", "2"))
    assert one == same != other
