"""``fleet.score`` on a local Spark against the service itself, on the same stored bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.data import read_cmapss, read_skab
from datasets import Stream
from errors import AnomalyError, DatasetError
from fleet import score
from fleet.frames import parquet, with_states
from fleet.spark import ship, spark_session
from fleet.spark_worker import shipped
from models.bundles.bundle import Bundle
from models.bundles.rules import Rule
from models.fitting.model_set_fit import fit_model_set
from models.registry.base import CHAMPION, open_registry
from tests.fixtures.bundle import QUICK
from tests.fixtures.service import Service
from tests.fixtures.tools import in_ci
from training.simulate import simulate

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
MODELS = ("isolation_forest", "one_class_svm", "lstm_autoencoder")
MAINTENANCE = {
    "id": "cleaning", "start": "2026-01-01T02:00:00+00:00", "end": "2026-01-01T03:00:00+00:00",
    "asset_id": "PUMP_00*", "reason": "cleaning",
}  # fmt: skip
OFF = {"feature": "current", "operator": "<", "value": 19.0, "hold_s": 120.0, "run_up_s": 60.0}
KEYS = (("asset_id", pa.string()), ("sensor_id", pa.string()))
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Fleet:
    """Streams of three plants, the bundle's VAR_DIR, and what the service says of them."""

    streams: list[tuple[Stream, list[str]]]
    var_dir: Path
    service: Service

    def table(
        self, count: int | None = None, rows: slice = slice(None), *, first: int = 0
    ) -> pa.Table:
        """Wide, in the order of streams and times."""
        parts = []
        for stream, names in self.streams[first:count]:
            part = stream.take(rows)
            columns = {name: part.values[:, i] for i, name in enumerate(names)}
            times = pa.array(part.timestamps.astype("datetime64[us]"), pa.timestamp("us", "UTC"))
            n = len(part.timestamps)
            keys = {"asset_id": [part.asset_id] * n, "sensor_id": [part.sensor_id] * n}
            parts.append(
                pa.table({**keys, "timestamp": times, **columns}).cast(
                    pa.schema(
                        [*KEYS, ("timestamp", times.type), *((n, pa.float64()) for n in names)]
                    )
                )
            )
        return pa.concat_tables(parts, promote_options="default")


def plants() -> list[tuple[list[Stream], list[str], int]]:
    """Streams, features and how many first readings of each are fitted on: by group."""
    pumps = simulate(
        assets=100, readings=260, seed=3, faults=1, first_fault=140, machines=("PUMP",)
    )
    times = pumps.timestamps.astype("datetime64[us]")
    named = zip(pumps.asset_ids, pumps.values, strict=True)
    members = [Stream(a, "S1", times, _with_counter(v)) for a, v in named]
    found = [(members, [*pumps.feature_names, "energy"], 120)]
    if not SHARED.is_dir():
        if in_ci():
            pytest.fail(f"SKAB and C-MAPSS are missing: {SHARED}")
        return found
    skab = read_skab(SHARED / "skab" / "valve1")[:3]
    engines = read_cmapss(SHARED / "cmapss" / "train_FD001.txt")[:8]
    for prefix, series, fitted in (("SKAB", skab, 400), ("ENGINE", engines, 60)):
        streams = [Stream(f"{prefix}_{s.name}", None, s.timestamps, s.values) for s in series]
        found.append((streams, series[0].features, fitted))
    return found


def _with_counter(values: np.ndarray) -> np.ndarray:
    """Readings (n, d) and a counter that is set back once, (n, d + 1)."""
    energy = np.cumsum(np.abs(values[:, 0]) * np.linspace(0.9, 1.1, 7)[np.arange(len(values)) % 7])
    return np.column_stack([values, np.where(np.arange(len(values)) < 200, energy, energy - 50)])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, service_database_url: str) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("fleet")
    sets, streams = {}, []
    for members, names, fitted in plants():
        group = members[0].asset_id.split("_")[0]
        parts = [s.take(slice(fitted)) for s in members[:6]]
        sets[group], _ = fit_model_set(
            [s.values for s in parts], [s.timestamps for s in parts], names, QUICK
        )
        streams += [(stream, names) for stream in members]
    Bundle(sets, [Rule(g, asset_id=f"{g}_*") for g in sets]).save(home / "bundle")
    service = Service(home / "var", service_database_url)
    service.promote(home / "bundle")
    service.start()
    yield Fleet(streams, home / "var", service)
    service.stop()


@pytest.fixture(scope="module")
def answers(fleet: Fleet) -> dict[str, list[dict[str, Any]]]:
    """What ``/detect/streams`` says, 700 readings of a stream at a time."""
    return {stream.asset_id: answer(fleet, stream, names) for stream, names in fleet.streams}


def answer(fleet: Fleet, stream: Stream, names: list[str], **more: Any) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    window: list[Any] = []
    state = None
    rows = [
        [at.replace(tzinfo=UTC).isoformat(), *row]
        for at, row in zip(stream.timestamps.tolist(), stream.values.tolist(), strict=True)
    ]
    with fleet.service.client() as client:
        for start in range(0, len(rows), 700):
            part = rows[start : start + 700]
            one = {
                "asset_id": stream.asset_id, "sensor_id": stream.sensor_id, "feature": None,
                "criticality": "medium", "state": state,
                "window": {"names": names, "rows": window},
                "readings": {"names": names, "rows": part},
            }  # fmt: skip
            answer = ask(client, {"streams": [one], **more})
            results += answer["results"]
            state = answer["state"]
            for row, result in zip(part, answer["results"], strict=True):
                mark = result["metadata"]["window"]
                window = [] if mark == "restarted" else window
                window += [row] if mark != "left_out" else []
            window = window[-answer["window_length"] :]
    return results


def ask(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    done = client.post("/detect/streams", json=body)
    assert done.status_code == 200, done.text
    return done.json()["streams"][0]


@pytest.fixture
def run(spark: Any, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``run(table, *options)``: the command on a table in four files; the folder of its results."""
    monkeypatch.setenv("VAR_DIR", str(fleet.var_dir))
    monkeypatch.setenv("MLFLOW_ENABLED", "false")
    monkeypatch.setenv("DATABASE_URL", "")

    def command(table: pa.Table, *options: str, out: str = "out") -> Path:
        data = tmp_path / f"data-{len(list(tmp_path.iterdir()))}"
        data.mkdir()
        edges = [part * len(table) // 4 for part in range(5)]
        for part, (start, end) in enumerate(pairwise(edges)):
            pq.write_table(table.slice(start, end - start), data / f"{part}.parquet")
        assert score.main(["--data", str(data), "--out", str(tmp_path / out), *options]) == 0
        return tmp_path / out

    return command


def rows(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Scored readings by asset, in the order of time."""
    table = pq.read_table(out / "readings").sort_by(
        [("asset_id", "ascending"), ("timestamp", "ascending")]
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["asset_id"], []).append(row)
    return found


def check(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Each row has the result of the service."""
    assert len(found) == len(wanted)
    for row, result in zip(found, wanted, strict=True):
        assert row["error"] is None
        assert "error" not in result
        assert row["timestamp"].isoformat() == result["timestamp"]
        for name in ("is_anomaly", "criticality"):
            assert row[name] == result[name]
        for name in ("final_score", "log10_p", "threshold"):
            assert abs(row[name] - result[name]) <= 1e-9, name
        scores = {one["model_name"]: one["score"] for one in result["scores"]}
        assert {name for name in MODELS if row[name] is not None} == set(scores)
        for name, value in scores.items():
            assert abs(row[name] - value) <= 1e-9, name
        alike(json.loads(row["metadata"]), result["metadata"])
        event = result["metadata"].get("event") or {}
        assert row["event_id"] == event.get("id")
        assert row["incident"] == event.get("incident", {}).get("why")
        assert row["bundle_version"] == result["metadata"]["bundle_version"]


def alike(one: Any, other: Any) -> None:
    """Equal, numbers to 1e-9."""
    if one == other:
        return
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            alike(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            alike(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)
    else:
        assert one == other


@pytest.mark.parametrize("partitions", [1, 2, 8])
def test_shuffled_readings_get_what_the_service_answers(fleet, answers, run, partitions):
    table = fleet.table()
    shuffled = table.take(np.random.default_rng(partitions).permutation(len(table)))
    found = rows(run(shuffled, "--partitions", str(partitions)))
    assert found.keys() == answers.keys()
    assert len(found) >= 100
    for asset, wanted in answers.items():
        check(found[asset], wanted)
    assert sum(row["is_anomaly"] for part in found.values() for row in part) > 100


def test_january_then_february_equal_both_at_once(fleet, answers, run, tmp_path):
    streams = fleet.streams[90:106]  # of each plant
    early, late = (fleet.table(106, part, first=90) for part in (slice(0, 133), slice(133, None)))
    run(early, "--state-out", str(tmp_path / "january"), out="early")
    out = run(late, "--state-in", str(tmp_path / "january"),
              "--state-out", str(tmp_path / "february"), out="late")  # fmt: skip
    found = rows(out)
    for stream, _ in streams:
        check(found[stream.asset_id], answers[stream.asset_id][133:])
    states = pq.read_table(tmp_path / "february").to_pylist()
    assert len(states) == len(streams)
    assert all(json.loads(one["state"])["state"]["bundle"] == "1" for one in states)


def test_maintenance_and_machines_off_are_suppressed_as_live(fleet, run, tmp_path):
    schedules = tmp_path / "schedules.json"
    given = {"maintenance_windows": [MAINTENANCE], "off_conditions": [OFF]}
    schedules.write_text(json.dumps(given))
    found = rows(run(fleet.table(6), "--schedules", str(schedules)))
    kinds = set()
    for stream, names in fleet.streams[:6]:
        check(found[stream.asset_id], answer(fleet, stream, names, **given))
        kinds |= {row["suppressed"] for row in found[stream.asset_id]}
    assert kinds == {None, "maintenance", "off"}


def test_long_tables_and_repetitions_give_the_same(fleet, answers, run):
    wide = fleet.table(3)
    names = fleet.streams[0][1]
    parts = [
        wide.select(["asset_id", "sensor_id", "timestamp"])
        .append_column("name", pa.array([name] * len(wide)))
        .append_column("value", wide[name])
        for name in names
    ]
    long = pa.concat_tables([*parts, parts[0].slice(0, 50)])
    for table in (long, pa.concat_tables([wide, wide.slice(0, 50)])):
        out = run(table.take(np.random.default_rng(0).permutation(len(table))))
        found = rows(out)
        for stream, _ in fleet.streams[:3]:
            check(found[stream.asset_id], answers[stream.asset_id])
        assert sum(pq.read_table(out / "streams")["readings"].to_pylist()) == len(wide)


def test_a_bad_stream_is_named_and_stops_nobody_and_days_are_replaced(fleet, answers, run):
    good, other = fleet.streams[0][0].asset_id, fleet.streams[1][0].asset_id
    table = fleet.table(2).to_pylist()
    table[7]["flow"] = float("inf")
    for row in (*table[:5], *table[260:265]):
        table.append({**row, "asset_id": "NOBODY"})
    bad = pa.Table.from_pylist(table, fleet.table(1).schema)
    out = run(bad)
    errors = pq.read_table(out / "errors").to_pylist()
    assert {(e["asset_id"], e["error_code"], e["errors"]) for e in errors} == {
        ("NOBODY", "no_group", 10), (good, "bad_value", 1)
    }  # fmt: skip
    assert "flow" in next(e["error"] for e in errors if e["asset_id"] == good)
    found = rows(out)
    check(found[other], answers[other])
    assert [row["error_code"] for row in found["NOBODY"]] == ["no_group"] * 10
    assert (found[good][7]["error_code"], found[good][7]["final_score"]) == ("bad_value", None)
    assert found[good][8]["error"] is None
    # the next day stays as it is when the first is scored again, without the readings at fault
    later = [{**row, "timestamp": row["timestamp"] + timedelta(days=1)} for row in table[260:520]]
    run(pa.Table.from_pylist(later, fleet.table(1).schema))
    run(fleet.table(2))
    found = rows(out)
    check(found[other][:260], answers[other])
    assert len(found[other]) == 2 * 260
    assert "NOBODY" not in found
    assert pq.read_table(out / "errors").num_rows == 0


def test_what_cannot_be_read_is_one_sentence(run, fleet, tmp_path, capsys):
    table = fleet.table(1)
    path = tmp_path / "bad.parquet"
    pq.write_table(table.drop_columns(["timestamp"]), path)
    for options, message in (
        (["--data", str(path)], "there is no column 'timestamp'"),
        (["--data", str(tmp_path / "none")], "no readable Parquet files"),
        (["--data", str(path), "--bundle", "99"], "no version '99'"),
        (
            ["--data", str(path), "--state-in", "s", "--state-out", "./s/"],
            "--state-out: must differ from --state-in",
        ),
        (["--data", str(path), "--schedules", str(path)], "bad.parquet"),
    ):
        assert score.main([*options, "--out", str(tmp_path / "out")]) == 1
        assert message in capsys.readouterr().err


def test_features_that_a_long_table_lacks_are_named(spark, tmp_path):
    path = str(tmp_path / "long.parquet")
    times = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 3)
    columns = {"asset_id": ["A"] * 3, "timestamp": times, "value": [1.0, 2.0, 3.0]}
    pq.write_table(pa.table({**columns, "name": ["rms", "a,b", "temp"]}), path)
    with pytest.raises(DatasetError, match=r"flow.*rms"):
        parquet(spark, path, "rms,flow")
    found = parquet(spark, path, "rms,a,b").frame.collect()
    assert sorted(row["name"] for row in found) == ["a,b", "rms"]


def test_a_feature_may_be_called_like_a_column_of_ours(spark, tmp_path):
    names = ["at", "state", "feature", "x:at", "a.b", "a`b", "Day", "day"]
    columns = {name: [float(place)] for place, name in enumerate(names)}
    keys = {"asset_id": ["A"], "timestamp": ["2026-01-01T00:00:00+02:00"]}
    pq.write_table(pa.table({**keys, **columns}), tmp_path / "odd.parquet")
    history = parquet(spark, str(tmp_path / "odd.parquet"))
    table = with_states(spark, history, None).orderBy(*history.form.order).toArrow()
    assert history.form.names == names
    assert [table[name][0].as_py() for name in history.form.columns] == list(range(len(names)))
    assert table["at"][0].as_py().astimezone(UTC).isoformat() == "2025-12-31T22:00:00+00:00"


def test_a_bundle_is_loaded_once_per_worker(spark, fleet):
    def loads(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        before = shipped.cache_info().misses
        shipped(name, "1").model_set("PUMP")
        loaded = shipped.cache_info().misses - before
        rows = sum(len(batch) for batch in batches)
        yield pa.RecordBatch.from_pydict({"pid": [os.getpid()], "loaded": [loaded], "rows": [rows]})

    registry = open_registry(None, "anomaly-detection", fleet.var_dir)
    folder = registry.fetch(registry.alias(CHAMPION) or "", fleet.var_dir / "bundles")
    ship(spark, folder)  # that nothing used it costs no later job anything
    name = ship(spark, folder)
    frame = spark.range(80).repartition(8)
    found = frame.mapInArrow(loads, "pid long, loaded long, rows long").collect()
    assert sum(row["rows"] for row in found) == 80
    workers = {row["pid"] for row in found}
    assert len(workers) < len(found)
    assert sum(row["loaded"] for row in found) == len(workers)


def test_whatever_a_worker_raises_is_named(spark):
    def broken(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from (batch.slice(0, 1 // 0) for batch in batches)

    given = score.parser().parse_args(["--data", "-", "--out", "-"])
    named = pytest.raises(AnomalyError, match=r"^Spark: ZeroDivisionError: ")
    with named, spark_session("tests", given) as session:
        session.range(1).mapInArrow(broken, "id long").collect()
