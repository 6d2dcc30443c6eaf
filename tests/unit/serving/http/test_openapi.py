"""The OpenAPI document, made of the calls and their Structs."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from config import Settings
from db.tables import AnomalyDetection
from serving.http.body_reader import BodyReader
from serving.http.callers import Callers
from serving.http.feedback_handlers import FeedbackHandlers
from serving.http.handlers import Handlers
from serving.http.incident_handlers import IncidentHandlers
from serving.http.model_handlers import ModelHandlers
from serving.http.openapi import document
from serving.http.overview_handlers import OverviewHandlers
from serving.http.rest_app import Call, declared
from serving.http.schedule_handlers import ScheduleHandlers
from serving.requests.detect import Item, parse_item
from serving.requests.wire import decode

NOTHING: Any = None  # no call is answered here
LIMITS = Settings(_env_file=None, max_batch_items=7, max_features=5, max_history=3)
BODIES = BodyReader(Callers.parse("", ""), 1)


def listed() -> list[Call]:
    incidents = IncidentHandlers(NOTHING, BODIES, NOTHING)
    rooms = (
        Handlers(*[NOTHING] * 8), incidents, FeedbackHandlers(NOTHING, BODIES, NOTHING),
        OverviewHandlers(NOTHING, NOTHING, NOTHING), ScheduleHandlers(NOTHING, BODIES),
        ModelHandlers(NOTHING, NOTHING, BODIES),
    )  # fmt: skip
    return [*declared(*rooms), *incidents.verbs()]


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    described: dict[str, Any] = orjson.loads(
        document(listed(), version="1", secured=True, settings=LIMITS)
    )
    return described


def test_every_call_below_the_prefix_is_shown_with_what_it_answers(shown: dict[str, Any]) -> None:
    for call in listed():
        if call.path.startswith("/api/v1"):
            path = call.path.replace(":name}", "}")
            operation = shown["paths"][path][call.method.lower()]
            assert operation["summary"]
            assert set(call.answers) <= set(map(int, operation["responses"]))
            assert ("security" in operation) == (call.role is not None)
            assert ("requestBody" in operation) == (call.method in ("POST", "PUT", "PATCH"))


@pytest.mark.parametrize("call", [c for c in listed() if c.body], ids=lambda call: call.path)
def test_the_example_of_a_body_is_taken(call: Call, shown: dict[str, Any]) -> None:
    operation = shown["paths"].get(call.path.replace(":name}", "}"), {}).get(call.method.lower())
    if operation:
        body = operation["requestBody"]["content"]["application/json"]["example"]
        assert decode(call.body, orjson.dumps(body)) is not None


def test_every_answer_has_an_example_and_every_reference_an_end(shown: dict[str, Any]) -> None:
    for methods in shown["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                assert answer["content"]["application/json"]["example"]
    for part in orjson.dumps(shown).split(b'"$ref":"#/components/schemas/')[1:]:
        assert part.split(b'"')[0].decode() in shown["components"]["schemas"]


def test_limits_are_those_in_force(shown: dict[str, Any]) -> None:
    item = shown["components"]["schemas"]["Item"]["properties"]
    assert item["features"]["maxProperties"] == LIMITS.max_features
    assert item["history"]["anyOf"][0]["maxItems"] == LIMITS.max_history
    batch = shown["paths"]["/api/v1/anomalies/detect/batch"]["post"]["requestBody"]
    assert batch["content"]["application/json"]["schema"]["maxItems"] == LIMITS.max_batch_items


def test_the_shown_item_is_one_that_detect_takes(shown: dict[str, Any]) -> None:
    detect = shown["paths"]["/api/v1/anomalies/detect"]["post"]["requestBody"]
    body = orjson.dumps(detect["content"]["application/json"]["example"])
    assert isinstance(parse_item(body, LIMITS), Item)


def test_a_stored_result_may_lack_what_its_table_may(shown: dict[str, Any]) -> None:
    fields = shown["components"]["schemas"]["StoredResult"]["properties"]
    optional = {
        column.name
        for column in AnomalyDetection.__table__.columns  # type: ignore[attr-defined]
        if column.nullable
    }
    assert "sensor_id" in optional & fields.keys()
    for name in optional & fields.keys():
        assert b"null" in orjson.dumps(fields[name]), name
