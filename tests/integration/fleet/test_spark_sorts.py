"""Streams are sorted once, by their times: a sort above that could lose the order again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from fleet.spark import _settings, per_stream


def _same(key: tuple[Any, ...], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def test_one_sort_where_a_key_is_the_same_for_all(spark: Any) -> None:
    name = "spark.sql.optimizer.excludedRules"
    before = spark.conf.get(name, None)
    spark.conf.set(name, _settings(None)[name])
    try:
        frame = spark.range(10).selectExpr(
            "'A' AS asset_id", "CAST(NULL AS string) AS sensor_id", "id AS at"
        )
        out = per_stream(frame, ["asset_id", "sensor_id"], ["at"], 2, _same,
                         "asset_id string, sensor_id string, at long")  # fmt: skip
        plan = out._jdf.queryExecution().executedPlan().toString()
    finally:
        spark.conf.unset(name) if before is None else spark.conf.set(name, before)
    assert plan.count("Sort [") == 1, plan
