"""What stands before everything else: keys, sizes, foreign pages, and how little gets through."""

from __future__ import annotations

import gzip
import hashlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.fixtures.service import PREFIX, Service
from training.simulate import Plant

KEY = "d-key"
MB = 2**20


@pytest.fixture(scope="module")
def closed(
    service_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that wants a key, without a bundle."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    service = Service(
        tmp_path_factory.mktemp("closed"),
        service_database_url,
        API_KEYS=f"detect:{digest}",
        ALLOWED_HOSTS="anomalies.plant.example",
        MAX_BODY_BYTES=str(MB),
        MAX_CONCURRENCY="2",
    )
    service.start(ready=False)
    yield service
    service.stop()


@pytest.fixture
def reading(plant: Plant) -> dict[str, Any]:
    row = dict(zip(plant.feature_names, plant.values[0][5].tolist(), strict=True))
    return {"asset_id": "FRONT", "features": row}


def get(service: Service, path: str, **headers: str) -> httpx.Response:
    return httpx.get(service.url + path, headers=headers, trust_env=False, timeout=60)


def post(service: Service, path: str, content: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = service.url + path
    return httpx.post(url, content=content, headers=named, trust_env=False, timeout=60)


def resident(service: Service) -> int:
    return max(process.memory_info().rss for process in service.processes())


@pytest.mark.parametrize(
    ("path", "status"),
    [("/detect", 401), ("/detect_batch", 401), ("/nothing", 404), (f"{PREFIX}/detect", 401)],
)
def test_without_a_key_a_body_costs_no_memory(closed: Service, path: str, status: int) -> None:
    before = resident(closed)
    answer = post(closed, path, (b" " * MB for _ in range(150)))
    assert answer.status_code == status, answer.text
    assert resident(closed) - before < 20 * MB


@pytest.mark.parametrize("path", ["/detect", "/detect_batch"])
def test_bentos_methods_have_the_rest_apis_limits_and_errors(closed: Service, path: str) -> None:
    authorization = f"Bearer {KEY}"
    chunks = (b" " * MB for _ in range(3))
    large = post(closed, path, chunks, authorization=authorization)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    bad = post(closed, path, b"{", authorization=authorization)
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "bad_json")
    assert get(closed, path).status_code == 405


def test_bentos_methods_count_among_the_requests_in_hand(closed: Service) -> None:
    head = (
        f"POST {{}} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: 99\r\n\r\n["
    )
    with ExitStack() as stack:
        for path in ("/detect", "/detect_batch"):  # bodies that never come
            held = socket.create_connection(("127.0.0.1", closed.port))
            stack.enter_context(held).sendall(head.format(path).encode())

        def full() -> bool:
            answers = [
                post(closed, path, b"[]", x_api_key=KEY)
                for path in ("/detect", "/detect_batch", f"{PREFIX}/detect")
            ]
            assert all("retry-after" in a.headers for a in answers if a.status_code == 429)
            return [a.status_code for a in answers] == [429] * 3

        closed.until(full)
        assert get(closed, "/livez").status_code == 200
    closed.until(lambda: post(closed, "/detect", b"[]", x_api_key=KEY).status_code == 422)


def test_any_number_of_paths_makes_no_series(closed: Service) -> None:
    def series() -> set[str]:
        lines = get(closed, "/metrics").text.splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    def ask(number: int) -> None:
        for path in (
            f"/{number}",
            f"/static_content/{number}",
            f"/metrics/{number}",
            f"//{number}",
        ):
            assert get(closed, path).status_code == 404
            assert post(closed, path, b"").status_code == 404
        assert get(closed, f"{PREFIX}/{number}").status_code == 401
        httpx.request(f"M{number}", closed.url + f"/livez{number}", trust_env=False, timeout=60)

    ask(0)
    before = series()
    for number in range(1, 40):
        ask(number)
    assert series() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": "http://localhost:3000"},
        {"origin": "https://evil.example", "content_type": "application/json"},
        {"origin": "http://[", "content_type": "text/plain"},
    ],
)
@pytest.mark.parametrize("path", [f"{PREFIX}/train", f"{PREFIX}/detect", "/detect_batch"])
def test_a_foreign_page_is_refused_whatever_it_sends(
    service: Service, headers: dict[str, str], path: str
) -> None:
    answer = post(service, path, b"{}", **headers)
    assert answer.status_code == 403, answer.text
    assert answer.json()["error"]["code"] == "foreign_origin"


def test_programs_and_the_own_page_pass_with_any_content_type(
    service: Service, reading: dict[str, Any]
) -> None:
    body = httpx.Request("POST", "http://x", json=reading).content
    own = {"origin": service.url, "sec_fetch_site": "same-origin"}
    for headers in (
        {},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},  # curl -d
        own,
        {"sec_fetch_site": "none"},
        {"origin": "http://localhost", "host": "localhost"},
    ):
        answer = post(service, f"{PREFIX}/detect", body, **headers)
        assert answer.status_code == 200, (headers, answer.text)
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert get(service, f"{PREFIX}/docs", **link).status_code == 200


def test_on_a_loopback_address_a_foreign_host_is_refused(service: Service, closed: Service) -> None:
    for path in ("/health", "/metrics", "/", f"{PREFIX}/status", "/docs.json", "/detect"):
        for host in ("evil.example", "evil.example:8084", "127.0.0.1.evil.example", "["):
            answer = get(service, path, host=host)
            assert answer.status_code == 403, (path, host)
            if path != "/":  # the operator's page, which says so in HTML
                assert answer.json()["error"]["code"] == "unknown_host"
    for host in ("localhost", "LOCALHOST:8084", "127.0.0.1", "[::1]:8084"):
        assert get(service, "/health", host=host).status_code == 200, host
    assert get(closed, "/health", host="anomalies.plant.example").status_code == 200
    assert get(closed, "/livez", host="anomalies.plant.example").status_code == 200
    page = {"origin": "https://anomalies.plant.example", "sec_fetch_site": "same-site"}
    assert post(closed, "/detect", b"{}", **page).status_code == 401  # past the check of pages


def test_gzip_is_read_and_limited_unpacked(
    closed: Service, service: Service, reading: dict[str, Any]
) -> None:
    body = httpx.Request("POST", "http://x", json=reading).content
    for path in (f"{PREFIX}/detect", "/detect"):
        packed = post(service, path, gzip.compress(body), content_encoding="gzip")
        assert packed.status_code == 200, packed.text
        assert packed.json()["features"] == reading["features"]
    assert post(service, "/detect", body, content_encoding="identity").status_code == 200

    def refused(content: bytes, encoding: str) -> tuple[int, str]:
        headers = {"content_encoding": encoding, "authorization": f"Bearer {KEY}"}
        answer = post(closed, f"{PREFIX}/detect", content, **headers)
        return answer.status_code, answer.json()["error"]["code"]

    assert refused(gzip.compress(b" " * (100 * MB)), "gzip") == (413, "body_too_large")
    assert refused(gzip.compress(body)[:-9], "gzip") == (400, "bad_gzip")
    assert refused(gzip.compress(body) * 2, "gzip") == (400, "bad_gzip")
    assert refused(body, "gzip") == (400, "bad_gzip")
    for encoding in ("br", "zstd", "deflate", "gzip, gzip"):
        assert refused(body, encoding) == (415, "unsupported_encoding")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01+00:00:00+00:00", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T00:00+0000", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01+02:00", "2026-01-01T02:00:00+00:00"),
        ("2026-01-01T00:00:00%2B01:00", "2025-12-31T23:00:00+00:00"),
    ],
)
def test_a_plus_that_nobody_escaped_is_understood(service: Service, sent: str, meant: str) -> None:
    for name in ("start_date", "end_date"):
        answer = get(service, f"{PREFIX}/?{name}={sent}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["filters"][name] == meant


@pytest.mark.parametrize(
    "query",
    ["limit=00010000", "limit=1e2", "limit=-1", "limits=5", "model=isolation_forest", "offset=1"],
)
def test_the_runs_query_is_as_strict_as_the_historys(service: Service, query: str) -> None:
    answer = get(service, f"{PREFIX}/metrics?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"] == query.partition("=")[0]


@pytest.mark.parametrize("path", ["/health", f"{PREFIX}/docs", f"{PREFIX}/", "/", "/nothing"])
def test_head_has_the_length_of_get(service: Service, path: str) -> None:
    # a screen has tokens of its own at each request, which are compressed to different lengths
    plain = {"accept-encoding": "identity"}
    head = httpx.head(service.url + path, headers=plain, trust_env=False)
    whole = httpx.get(service.url + path, headers=plain, trust_env=False, timeout=60)
    assert head.status_code == whole.status_code
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.content == b""
