"""Whatever is sent, the answer is never a 5xx: from the OpenAPI document, and out of the blue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.fixtures.service import PREFIX, Service, ready_service

QUIET = settings(
    max_examples=150,
    database=None,
    suppress_health_check=list(HealthCheck),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
#: Close to what is right, so that the checks behind the first ones are reached.
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "asset_id": st.text(max_size=300) | JSON,
        "sensor_id": st.none() | st.text(max_size=9) | JSON,
        "features": st.dictionaries(
            st.sampled_from(["rms", "kurtosis", "x", "\x00", ""]) | st.text(max_size=5),
            st.floats() | st.integers() | JSON,
            max_size=8,
        )
        | JSON,
        "timestamp": st.datetimes().map(lambda at: at.isoformat()) | st.text(max_size=40) | JSON,
        "criticality": st.sampled_from(["critical", "high", "medium", "low", "none"]) | JSON,
        "history": st.lists(
            st.dictionaries(st.text(max_size=3), st.floats(), max_size=3), max_size=4
        )
        | JSON,
        "metadata": st.dictionaries(st.text(max_size=9), JSON, max_size=4) | JSON,
    },
)


def body(content: Any) -> bytes:
    """JSON of anything; NaN and lone surrogates as other programs write them."""
    return json.dumps(content, ensure_ascii=True).encode()


def send(service: Service, path: str, content: bytes) -> httpx.Response:
    answer = CLIENT.post(service.url + PREFIX + path, content=content)
    assert answer.status_code < 500 or answer.status_code == 503, (answer.text, content[:500])
    if answer.status_code >= 400:
        assert set(orjson.loads(answer.content)["error"]) == {"code", "message", "field"}
    return answer


CLIENT = httpx.Client(timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def service(
    bundle_dir: Path,
    shared_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A service of its own: what is planned here for the whole plant would mute other tests."""
    with ready_service(tmp_path_factory.mktemp("fuzz"), shared_database("fuzz"), bundle_dir) as one:
        yield one


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    CLIENT.close()


def filled(item: Any, names: tuple[str, ...]) -> Any:
    """The item with the features the bundle asks for, where it has features at all."""
    if isinstance(item, dict) and isinstance(item.get("features"), dict):
        return {**item, "features": {**dict.fromkeys(names, 1.0), **item["features"]}}
    return item


def test_items_of_every_kind(service: Service, bundle: Any) -> None:
    names = bundle.model_set("default").feature_names

    @QUIET
    @given(st.lists(ITEM | JSON, max_size=4), st.booleans())
    def check(items: list[Any], whole: bool) -> None:
        items = [filled(item, names) if whole else item for item in items]
        if items:
            send(service, "/detect", body(items[0]))
        answer = send(service, "/detect/batch", body(items))
        if answer.status_code == 200:
            assert len(answer.json()) == len(items)

    check()


def test_streams_and_trainings_of_every_kind(service: Service) -> None:
    form = (
        st.fixed_dictionaries({"names": st.lists(st.text(max_size=3)) | JSON, "rows": JSON}) | JSON
    )
    stream = st.fixed_dictionaries(
        {"asset_id": st.text(max_size=5) | JSON, "readings": form},
        optional={"state": JSON, "window": form, "criticality": JSON, "feature": JSON},
    )

    @QUIET
    @given(st.lists(stream | JSON, max_size=3), JSON)
    def check(streams: list[Any], other: Any) -> None:
        send(service, "/detect/streams", body({"streams": streams}))
        send(service, "/detect/streams", body(other))
        send(service, "/train", body({"dataset": other, "feature_names": other}))

    check()


def test_states_of_every_kind(service: Service, bundle: Any) -> None:
    """A state that somebody damaged is refused or begun again, never a 500."""
    names = list(bundle.model_set("default").feature_names)
    rows = [["2026-01-01T00:00:00Z", *[1.0] * len(names)]]
    stream = {"asset_id": "A", "readings": {"names": names, "rows": rows}}
    good = send(service, "/detect/streams", body({"streams": [stream]})).json()["streams"][0][
        "state"
    ]

    @QUIET
    @given(st.dictionaries(st.sampled_from(sorted(good)), JSON, max_size=3))
    def check(damage: dict[str, Any]) -> None:
        state = {**good, **damage}
        send(service, "/detect/streams", body({"streams": [{**stream, "state": state}]}))

    check()


def test_bytes_and_paths_of_every_kind(service: Service) -> None:
    @QUIET
    @given(st.binary(max_size=60), st.text(max_size=30))
    def check(content: bytes, path: str) -> None:
        send(service, "/detect", content)
        url = httpx.URL(service.url + PREFIX + "/").copy_with(
            raw_path=(PREFIX + "/").encode() + path.encode("utf-8", "replace").hex().encode()
        )
        assert CLIENT.get(url).status_code < 500
        assert CLIENT.get(service.url + PREFIX, params={path or "x": path}).status_code < 500
        assert CLIENT.get(service.url + PREFIX, params={"cursor": path}).status_code < 500

    check()


def test_incidents_of_every_kind(service: Service) -> None:
    """Verbs, bulk and filters, right and wrong: nothing of it is a 5xx."""
    one = "0b4fd1a5-3c86-57a2-8a3e-9c7a5f5f2f10"
    root = service.url + "/api/v1/incidents"
    text = st.text(max_size=12) | JSON
    form = st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("why", "who", "until", "seconds", "verdict", "fault_code", "assignee", "ticket"), text
        ),
    )
    target = st.fixed_dictionaries({"id": st.just(one) | text}, optional={"version": JSON})
    verbs = ("acknowledge", "shelve", "unshelve", "close", "reopen", "assign", "ticket", "comment")

    def check_answer(answer: httpx.Response) -> None:
        assert answer.status_code < 500 or answer.status_code == 503, answer.text

    @QUIET
    @given(st.sampled_from(verbs), form | JSON, st.lists(target | JSON, max_size=3), st.text())
    def check(verb: str, content: Any, targets: list[Any], header: str) -> None:
        raw = header.encode("utf-8", "replace")
        sendable = bytes(byte for byte in raw if byte >= 32 and byte != 127).strip()
        marks = [(b"If-Match", sendable), (b"Idempotency-Key", sendable[::-1].strip())]
        check_answer(CLIENT.post(f"{root}/{one}/{verb}", content=body(content), headers=marks))
        many = {"action": verb, "incidents": targets, "arguments": content}
        check_answer(CLIENT.post(f"{root}/bulk", content=body(many)))
        names = ("state", "asset_id", "group", "assignee", "start_date", "cursor", "limit")
        for name in names:
            check_answer(CLIENT.get(root, params={name: header}))
        check_answer(CLIENT.get(f"{root}/{raw.hex() or 'x'}/log"))
        asset = f"{service.url}/api/v1/assets/%{raw[:1].hex() or '2F'}"
        check_answer(CLIENT.put(asset, content=body(content)))

    check()


def test_feedback_and_kpis_of_every_kind(service: Service) -> None:
    """Bodies, keys and queries, right and wrong: nothing of it is a 5xx, and no list is lost."""
    root = service.url + "/api/v1"
    one = "0b4fd1a5-3c86-57a2-8a3e-9c7a5f5f2f10"
    word = st.text(max_size=12) | JSON
    form = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(
                ("asset_id", "sensor_id", "feature", "fault_code", "note", "who", "why"), word
            ),
            **dict.fromkeys(("start", "end"), st.datetimes().map(lambda at: at.isoformat()) | word),
            "verdict": st.sampled_from(("confirmed", "false_alarm", "expected", "unsure")) | word,
        },
    )
    code = st.fixed_dictionaries({}, optional=dict.fromkeys(("code", "name", "action"), word))
    names = ("asset_id", "incident", "verdict", "withdrawn", "start_date", "cursor", "limit", "by")
    before = CLIENT.get(f"{root}/fault-codes").json()

    def check_answer(answer: httpx.Response) -> None:
        assert answer.status_code < 500 or answer.status_code == 503, answer.text

    @QUIET
    @given(form | JSON, st.lists(code | JSON, min_size=1, max_size=3), st.text())
    def check(content: Any, codes: list[Any], text: str) -> None:
        key = bytes(b for b in text.encode("utf-8", "replace") if 32 <= b < 127).strip()
        headers = [(b"Idempotency-Key", key)] if key else []
        for path in ("feedback", f"incidents/{one}/feedback", f"feedback/{one}/withdraw"):
            check_answer(CLIENT.post(f"{root}/{path}", content=body(content), headers=headers))
        wrong = {"fault_codes": [*codes, {"code": ""}]}
        assert CLIENT.put(f"{root}/fault-codes", content=body(wrong)).status_code in (400, 422)
        for path in ("feedback", "alarm-kpis", "incidents/top"):
            for name in names:
                check_answer(CLIENT.get(f"{root}/{path}", params={name: text}))

    check()
    assert CLIENT.get(f"{root}/fault-codes").json() == before


def test_the_openapi_document_keeps_its_word(service: Service) -> None:
    """Every call of the document, bodies that fit it or not: answers are as it says."""
    document = CLIENT.get(service.url + PREFIX + "/openapi.json").json()
    document["servers"] = [{"url": service.url}]
    schema = schemathesis.openapi.from_dict(document)
    asked: set[str] = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/train") and operation.method == "post":
            continue  # would train: fuzzed above with what is refused

        @settings(QUIET, max_examples=25)
        @given(operation.as_strategy())
        def check(case: Any) -> None:
            answer = case.call(base_url=service.url)
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
            assert f"no such path; see {PREFIX}" not in answer.text
            case.validate_response(
                answer, checks=[response_schema_conformance, status_code_conformance]
            )

        check()
        asked.add(operation.path)
    assert len(asked) >= 24
