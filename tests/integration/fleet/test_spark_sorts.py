"""Streams are sorted once, by their times: a sort above that could lose the order again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from errors import SettingsError
from fleet import fit
from fleet.frames import parquet, with_states
from fleet.group_fit import GroupPlan
from fleet.score import parser, scored
from fleet.spark import spark_session
from fleet.stream_scoring import Plan
from models.fitting.options import FitOptions
from models.scoring.policy import ScoringPolicy

RULES = "spark.sql.optimizer.excludedRules"
OVERWRITE = "spark.sql.sources.partitionOverwriteMode"
ADAPTIVE = "spark.sql.adaptive.enabled"
GIVEN = ["--data", "-", "--out", "-"]
TIMES = pa.array([0, 1], pa.timestamp("us", "UTC"))
WIDE = {"asset_id": ["A", "A"], "timestamp": TIMES, "x": [1.0, 2.0]}
LONG = {"asset_id": ["A", "A"], "timestamp": TIMES, "name": ["x", "x"], "value": [1.0, 2.0]}
SENSOR = {"sensor_id": ["S", None]}
STATE = {"asset_id": ["A"], "state": ["{}"]} | {
    key: pa.array([None], pa.string()) for key in ("sensor_id", "feature")
}


@pytest.fixture(params=["true", "false"], ids=["adaptive", "fixed"])
def session(spark: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A session that was there before, with Spark's own settings, as a command takes it."""
    own = {RULES: "", OVERWRITE: "static"}
    before = {name: spark.conf.get(name) for name in own}
    for name, value in own.items():
        spark.conf.set(name, value)
    try:
        given = [*GIVEN, f"--conf={ADAPTIVE}={request.param}"]
        with spark_session("test", parser().parse_args(given)) as taken:
            assert taken.conf.get(OVERWRITE) == "dynamic"
            assert taken.conf.get(ADAPTIVE) == request.param
            yield taken
        assert {name: spark.conf.get(name) for name in own} == own
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def test_what_an_open_session_cannot_change_is_named_and_nothing_stays_changed(spark: Any) -> None:
    before = {name: spark.conf.get(name) for name in (RULES, OVERWRITE, ADAPTIVE)}
    given = [*GIVEN, f"--conf={ADAPTIVE}=false", "--conf=spark.executor.memory=4g"]
    with (
        pytest.raises(SettingsError, match=r"spark\.executor\.memory=4g: cannot be set"),
        spark_session("test", parser().parse_args(given)),
    ):
        raise AssertionError("a session was taken")
    assert {name: spark.conf.get(name) for name in before} == before


def sorts(frame: Any) -> list[str]:
    """The sorts of the plan that runs."""
    plan = frame._jdf.queryExecution().executedPlan().toString()
    return [line for line in plan.splitlines() if "Sort [" in line]


def written(path: Path, columns: dict[str, Any]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.mark.parametrize("states", [False, True], ids=["", "state-in"])
@pytest.mark.parametrize(
    "columns", [WIDE, WIDE | SENSOR, LONG, LONG | SENSOR], ids=["wide", "wide-s", "long", "long-s"]
)
def test_a_stream_is_sorted_once_to_be_scored(
    session: Any, tmp_path: Path, columns: dict[str, Any], states: bool
) -> None:
    history = parquet(session, written(tmp_path / "data.parquet", columns))
    before = written(tmp_path / "states.parquet", STATE) if states else None
    plan = Plan("bundle", "1", history.form, ScoringPolicy())
    (only,) = sorts(scored(with_states(session, history, before), plan, 2))
    assert " at#" in only


@pytest.mark.parametrize("by", ["asset_id", "sensor_id"])
def test_a_group_is_sorted_once_to_be_fitted(session: Any, tmp_path: Path, by: str) -> None:
    history = parquet(session, written(tmp_path / "data.parquet", WIDE))
    plan = GroupPlan(by, ("x",), False, FitOptions(), ScoringPolicy(), {"A": 1}, {})
    (only,) = sorts(fit.fitted(session, history, plan, 2))
    assert " at#" in only
