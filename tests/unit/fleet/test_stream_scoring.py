"""One stream in a worker: order, decoding, and what is wrong with it, without Spark."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from fleet import stream_scoring
from fleet.frames import MARK, Form
from fleet.stream_scoring import Plan, score_stream
from models.bundles.bundle import Bundle
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from tests.fixtures.bundle import points

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def run(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``run(form, rows, batches)`` -> readings, states of one stream."""
    monkeypatch.setattr(stream_scoring, "shipped", lambda name, version: bundle)

    def command(form: Form, batches: list[pa.RecordBatch], key: Any = ("A", "S", "")) -> Any:
        plan = Plan("b", "1", form, ScoringPolicy())
        made = pa.Table.from_batches(list(score_stream(plan, key, batches))).to_pylist()
        return [
            [row for row in made if (row["state"] is None) == scored] for scored in (True, False)
        ]

    return command


def wide(bundle: Bundle, readings: Any, state: str | None = None) -> tuple[Form, pa.RecordBatch]:
    """A batch as Spark hands it over; ``state`` in a row of its own."""
    names = bundle.model_set("default").feature_names
    rows: list[Any] = [
        {"at": r.timestamp, "state": None, **{MARK + n: v for n, v in r.features.items()}}
        for r in readings
    ]
    if state is not None:
        rows.insert(0, {"at": None, "state": state})
    kinds = [("at", pa.timestamp("us", "UTC")), ("state", pa.string())]
    schema = pa.schema([*kinds, *((MARK + n, pa.float64()) for n in names)])
    return Form("wide", tuple(MARK + n for n in names)), pa.RecordBatch.from_pylist(
        rows, schema=schema
    )


def test_batches_of_any_size_give_the_same(run, bundle, plant):
    readings = points(plant, 0)
    stream, policy = ("A", "S", None), ScoringPolicy()
    scored = replay(bundle.model_set("default"), stream, iter(readings), policy)
    wanted = [result for part in scored for result in part]
    for size in (7, 333, 900):
        parts = [wide(bundle, readings[at : at + size]) for at in range(0, 900, size)]
        found, (state,) = run(parts[0][0], [batch for _, batch in parts])
        assert [row["final_score"] for row in found] == pytest.approx(
            [result["final_score"] for result in wanted], rel=0, abs=1e-9
        )
        assert json.loads(state["state"])["state"]["last"] == str(readings[-1].timestamp).replace(
            " ", "T"
        )


@pytest.mark.parametrize("cut", ["within a batch", "between batches"])
def test_readings_out_of_order_are_never_scored(run, bundle, plant, cut):
    readings = points(plant, 0, 0, 20)
    halves = [readings[10:], readings[:10]]
    parts = halves if cut == "between batches" else [[*halves[0], *halves[1]]]
    made = [wide(bundle, part) for part in parts]
    with pytest.raises(AssertionError, match="A / S are not in time order"):
        run(made[0][0], [batch for _, batch in made])


@pytest.mark.parametrize("state", ["no JSON", "{}", '{"state": [], "window": 1}'])
def test_a_state_that_cannot_be_read_names_its_stream_and_stays(run, bundle, plant, state):
    form, batch = wide(bundle, points(plant, 0, 0, 5), state)
    found, (kept,) = run(form, [batch])
    assert [row["error_code"] for row in found] == ["bad_state"] * 5
    assert kept["state"] == state


def test_whatever_a_stream_fails_of_is_its_own(run, bundle, plant, monkeypatch):
    calls = []

    def fail(*args: Any) -> Any:
        calls.append(args)
        raise ZeroDivisionError("a bug")

    form, batch = wide(bundle, points(plant, 0, 0, 30))
    _, (before,) = run(form, [batch])
    monkeypatch.setattr(stream_scoring, "score", fail)
    form, batch = wide(bundle, points(plant, 0, 30, 60), before["state"])
    found, (kept,) = run(form, [batch])
    assert {row["error"] for row in found} == {"scoring failed: ZeroDivisionError('a bug')"}
    assert len(found) == 30
    assert kept["state"] == before["state"]
    assert len(calls) == 1


def test_readings_at_fault_have_an_error_and_the_others_a_score(run, bundle, plant):
    readings = points(plant, 0, 0, 6)
    name = bundle.model_set("default").feature_names[0]
    readings[2].features = {**readings[2].features, name: float("inf")}
    form, batch = wide(bundle, readings)
    found, *_ = run(form, [batch, batch.slice(5, 1)])
    assert [row["error_code"] for row in found] == [None, None, "bad_value", None, None, None]
    timeless = wide(bundle, [type(readings[0])(None, readings[0].features)])[1]
    found, *_ = run(form, [timeless, batch.slice(3)])
    assert [row["error_code"] for row in found] == ["bad_timestamp", None, None, None]
    found, *_ = run(form, [batch.slice(3)], (None, "", ""))
    assert [row["error_code"] for row in found] == ["bad_name"] * 3


def test_a_time_that_no_datetime_holds_cannot_be_read(run, bundle, plant):
    form, batch = wide(bundle, points(plant, 0, 0, 3))
    micros = batch.column("at").cast(pa.int64()).to_pylist()
    micros[2] += 10**4 * 366 * 86_400 * 10**6  # a year of five digits, as Spark's times may be
    late = pa.array(micros).cast(batch.column("at").type)
    found, *_ = run(form, [batch.set_column(batch.schema.get_field_index("at"), "at", late)])
    assert [row["error_code"] for row in found] == [None, None, "bad_timestamp"]


def test_rows_of_one_time_are_one_reading_of_a_long_table(run, bundle, plant):
    readings = points(plant, 0, 0, 4)
    rows: list[Any] = [
        {"at": r.timestamp, "state": None, "name": name, "value": value}
        for r in readings
        for name, value in sorted(r.features.items())
    ]
    rows.insert(1, rows[0])  # repeated, which says nothing new
    last = {**rows[-1], "value": rows[-1]["value"] + 1.0}
    schema = pa.schema([("at", pa.timestamp("us", "UTC")), ("state", pa.string()),
                        ("name", pa.string()), ("value", pa.float64())])  # fmt: skip
    batch = pa.RecordBatch.from_pylist([*rows, last], schema=schema)
    found, *_ = run(Form("long", ("name", "value")), [batch.slice(0, 9), batch.slice(9)])
    assert [row["error_code"] for row in found] == [None, None, None, "bad_features"]
    form, wide_batch = wide(bundle, readings[:3])
    same, *_ = run(form, [wide_batch])
    assert [row["final_score"] for row in found[:3]] == [row["final_score"] for row in same]


def test_each_reading_has_its_day(run, bundle, plant):
    readings = [
        type(r)(START + timedelta(hours=8 * i), r.features)
        for i, r in enumerate(points(plant, 0, 0, 7))
    ]
    form, batch = wide(bundle, readings)
    found, _ = run(form, [batch])
    assert [row["day"].day for row in found] == [1, 1, 1, 2, 2, 2, 3]
