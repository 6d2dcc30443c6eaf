"""Mixed traffic at concurrency 64: no 5xx but deliberate ones, and the same scores throughout.

Half a minute of it; LOAD_SECONDS makes it shorter or longer.
"""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from benchmarks.http_load import exchange, request
from tests.fixtures.service import PREFIX, Service
from training.simulate import Plant

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CONCURRENCY = 64
SECONDS = float(os.environ.get("LOAD_SECONDS", "30"))


def reading(plant: Plant, asset: int, place: int) -> dict[str, Any]:
    row = plant.values[asset % 3][place % 600].tolist()
    return {
        "asset_id": f"load-{asset}",
        "features": dict(zip(plant.feature_names, row, strict=True)),
        "timestamp": (T0 + timedelta(minutes=place)).isoformat(),
    }


def batch(plant: Plant, number: int) -> list[dict[str, Any]]:
    return [reading(plant, place % 50, place // 50) for place in range(number)]


def traffic(plant: Plant) -> list[tuple[str, str, bytes]]:
    """Method, path and body of the calls, the frequent ones often."""
    single = [reading(plant, a, 300) for a in range(12)]
    with_history = [
        {**item, "history": [reading(plant, a, p)["features"] for p in range(280, 300)]}
        for a, item in enumerate(single)
    ]
    bad: list[Any] = [{}, {"asset_id": "x", "features": {"rms": None}}, [1], "text"]
    mixed = batch(plant, 40)
    mixed[7], mixed[21] = {"asset_id": None}, 7  # type: ignore[call-overload]
    calls = [("POST", "/detect", orjson.dumps(item)) for item in (single + with_history) * 4]
    calls += [("POST", "/detect", orjson.dumps(item)) for item in bad]
    calls += [("POST", "/detect", b"{"), ("POST", "/detect/batch", orjson.dumps(mixed))]
    calls += [("POST", "/detect/batch", orjson.dumps(batch(plant, n))) for n in (1, 10, 100, 1000)]
    calls += [("POST", "/detect/batch", orjson.dumps(batch(plant, 5000)))]
    queries = ("", "/?is_anomaly=any&limit=50", "/?asset_id=load-1", "/?limit=0", "/status")
    calls += [("GET", path, b"") for path in queries]
    return calls


async def keep_busy(service: Service, calls: list[tuple[str, str, bytes]], seconds: float) -> Any:
    """Statuses by call, and the scores of every answered call."""
    import asyncio

    until = time.monotonic() + seconds
    statuses: dict[int, int] = {}
    answers: dict[int, set[bytes]] = {}
    unexplained: list[bytes] = []

    async def connection(number: int) -> None:
        chance = random.Random(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=2**27)
        try:
            while time.monotonic() < until:
                place = chance.randrange(len(calls))
                method, path, body = calls[place]
                sent = request(service.port, PREFIX + path, body, method)
                status, content = await exchange(reader, writer, sent)
                statuses[status] = statuses.get(status, 0) + 1
                if status == 200 and method == "POST":
                    answers.setdefault(place, set()).add(scores_of(content))
                elif status >= 500 or status == 429:
                    code = orjson.loads(content)["error"]["code"]
                    if (status, code) not in DELIBERATE:
                        unexplained.append(content[:300])
        finally:
            writer.close()

    await asyncio.gather(*(connection(number) for number in range(CONCURRENCY)))
    return statuses, answers, unexplained


DELIBERATE = {(429, "busy"), (503, "deadline")}


def scores_of(content: bytes) -> bytes:
    """Scores of one answer, rounded to what must not differ."""
    found = orjson.loads(content)
    results = found if isinstance(found, list) else [found]
    return orjson.dumps(
        [round(r["final_score"], 5) if "final_score" in r else None for r in results]
    )


def check(service: Service, plant: Plant, seconds: float) -> dict[int, int]:
    import asyncio

    statuses, answers, unexplained = asyncio.run(keep_busy(service, traffic(plant), seconds))
    assert not unexplained, unexplained[:3]
    assert statuses.get(500, 0) == 0
    differing = {place: found for place, found in answers.items() if len(found) != 1}
    assert not differing, f"calls {sorted(differing)} were not always scored alike"
    assert statuses[200] > 100
    return statuses


def test_a_mixed_load_is_answered(service: Service, plant: Plant) -> None:
    check(service, plant, SECONDS)
    with service.client() as api:
        assert api.post("/detect", json=reading(plant, 1, 300)).status_code == 200
    batches_were_shared(service)


def batches_were_shared(service: Service) -> None:
    text = httpx.get(service.url + "/metrics", trust_env=False, timeout=60).text
    figures = dict(
        line.split(" ", 1) for line in text.splitlines() if line.startswith("anomaly_batch_size_")
    )
    total = float(figures['anomaly_batch_size_sum{stage="scoring"}'])
    count = float(figures['anomaly_batch_size_count{stage="scoring"}'])
    assert total > 2 * count


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_ten_minutes_of_mixed_load_leak_nothing(
    service: Service,
    plant: Plant,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check(service, plant, seconds=60)
    before = resident_mb(service)
    statuses = check(service, plant, seconds=540)
    after = resident_mb(service)
    with capsys.disabled():
        print(f"\nnine minutes: {statuses}, {before:.0f} MB, then {after:.0f} MB")
    assert after - before < 100, f"{after - before:.0f} MB more after nine minutes"


def resident_mb(service: Service) -> float:
    return float(sum(p.memory_info().rss for p in service.processes())) / 2**20
