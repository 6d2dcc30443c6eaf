"""Answers of Prometheus, InfluxDB and Grafana are read as they are saved."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from errors import DatasetError
from tests.unit.datasets.plant_files import Load

N = 40
SECONDS = [1_767_225_600 + 60 * i for i in range(N)]


def prometheus(*series: dict[str, str], kind: str = "matrix") -> dict[str, Any]:
    result = [
        {"metric": labels, "values": [[s, f"{k}.{i}"] for i, s in enumerate(SECONDS)]}
        for k, labels in enumerate(series, start=1)
    ]
    return {"status": "success", "data": {"resultType": kind, "result": result}}


def frame(name: str, n: int = N, **field: Any) -> dict[str, Any]:
    fields = [{"name": "Time", "type": "time"}, {"name": "Value", "type": "number", **field}]
    values = [[1000 * s for s in SECONDS[:n]], [i / 4 for i in range(n)]]
    return {"schema": {"refId": "A", "name": name, "fields": fields}, "data": {"values": values}}


def influx(*names: str, columns: tuple[str, ...] = ("time", "temp"), **more: Any) -> dict[str, Any]:
    values = [[f"2026-01-01T00:{i:02d}:00Z", i / 4] for i in range(N)]
    series = [{"name": name, "columns": list(columns), "values": values, **more} for name in names]
    return {"results": [{"statement_id": 0, "series": series}]}


def dump(content: Any) -> str:
    return json.dumps(content)


def test_a_range_query_of_prometheus_is_a_long_table(load: Load):
    one = prometheus({"__name__": "temp", "job": "plant"})
    data = load(dump(one), "json", asset_id="P")
    assert data.feature_names == ["value"]
    assert data.streams[0].values[:3, 0].tolist() == [1.0, 1.1, 1.2]
    assert str(data.streams[0].timestamps[1]) == "2026-01-01T00:01:00.000000"
    many = prometheus(*[{"__name__": n, "machine": m} for n in ("temp", "vib") for m in ("A", "B")])
    with pytest.raises(DatasetError, match="--pivot __name__"):
        load(dump(many), "json", asset_id="P")
    data = load(dump(many), "json", pivot="__name__", columns={"asset_id": "machine"})
    assert data.feature_names == ["temp", "vib"]
    assert [(s.asset_id, s.values[0].tolist()) for s in data.streams] == [
        ("A", [1, 3]),
        ("B", [2, 4]),
    ]


def test_not_a_number_is_not_measured(load: Load):
    content = prometheus({"__name__": "temp"})
    content["data"]["result"][0]["values"][5][1] = "NaN"
    values = load(dump(content), "json", asset_id="P").streams[0].values
    assert np.flatnonzero(np.isnan(values[:, 0])).tolist() == [5]


def test_frames_of_grafana_are_joined_by_time(load: Load):
    content = {
        "results": {
            "A": {"frames": [frame("", labels={"tag": "TI101"}),
                             frame("", 30, config={"displayNameFromDS": "Pressure"})]},
            "B": {"frames": [frame("Flow"), frame("Flow")]},
        }
    }  # fmt: skip
    data = load(dump(content), "json", asset_id="P")
    assert data.feature_names == ["TI101", "Pressure", "Flow", "Flow A"]
    assert data.streams[0].values[29].tolist() == [7.25] * 4
    assert np.isnan(data.streams[0].values[30, 1])


def test_other_exports_of_grafana(load: Load):
    names = ["a", "b"]
    frames = load(dump([frame(name) for name in names]), "json", asset_id="P")
    points = [{"target": n, "datapoints": [[i / 4, 1000 * s] for i, s in enumerate(SECONDS)]}
              for n in names]  # fmt: skip
    times = {"name": "Time", "type": "time", "values": [1000 * s for s in SECONDS]}
    values = {"name": "Value", "values": [i / 4 for i in range(N)]}
    panel = [{"name": name, "fields": [times, values]} for name in names]
    for content in (points, {"state": "Done", "series": panel}):
        data = load(dump(content), "json", asset_id="P")
        assert data.feature_names == frames.feature_names == names
        np.testing.assert_array_equal(data.streams[0].values, frames.streams[0].values)
        np.testing.assert_array_equal(data.streams[0].timestamps, frames.streams[0].timestamps)


def test_answers_of_influxdb(load: Load):
    data = load(dump(influx("m")), "json", asset_id="P")
    assert (data.feature_names, len(data.streams[0].values)) == (["temp"], N)
    chunks = "\n".join(dump(influx("m")).replace("T00:", f"T{h:02d}:") for h in range(3))
    assert len(load(chunks, "json", asset_id="P").streams[0].values) == 3 * N
    tagged = influx("m", tags={"machine": "M1"})
    data = load(dump(tagged), "json", columns={"asset_id": "machine"})
    assert data.streams[0].asset_id == "M1"
    data = load(dump(influx("cpu", "mem")), "json", asset_id="P", pivot="measurement")
    assert data.feature_names == ["cpu", "mem"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "no such query"}, "no such query"),
        ({"error": "authorization failed"}, "error of the server: 'authorization failed'"),
        ({"results": [{"statement_id": 0, "error": "no database"}]}, "InfluxDB: 'no database'"),
        ({"results": {"A": {"status": 500, "error": "boom"}}}, "Grafana: 'boom'"),
        ({"results": [{"statement_id": 0}]}, "holds no series"),
        (prometheus(), "holds no series"),
        (prometheus({}, kind="scalar"), "holds a Prometheus 'scalar', not series"),
        ({"data": {"resultType": "matrix", "result": [{"metric": {}}]}}, "of an unknown form"),
        ({"data": {"resultType": "matrix", "result": [7]}}, "of an unknown form"),
        (influx("m", columns=("time",)), "damaged or of an unknown form"),
        ({"results": {"A": {"frames": [{"schema": {"fields": []}, "data": {"values": []}}]}}},
         "with 0 columns of times"),
        ({"results": {"A": 5}}, "of an unknown form"),
    ],
)  # fmt: skip
def test_answers_without_data_are_refused_in_a_sentence(load: Load, content: Any, why: str):
    with pytest.raises(DatasetError, match=rf"^plant\.json: .*{why}"):
        load(dump(content), "json", asset_id="P")


def test_other_objects_are_read_as_before(load: Load):
    rows = [{"timestamp": s, "results": i, "error": i / 4} for i, s in enumerate(SECONDS)]
    data = load(dump(rows), "json", asset_id="P")
    assert data.feature_names == ["results", "error"]


def cloudwatch(*metrics: tuple[str, str, int], status: str = "Complete") -> dict[str, Any]:
    times = [f"2026-01-01T00:{i:02d}:00+00:00" for i in reversed(range(N))]
    results = [
        {"Id": which, "Label": label, "Timestamps": times[-n:], "StatusCode": status,
         "Values": [i / 4 for i in reversed(range(n))]}
        for which, label, n in metrics
    ]  # fmt: skip
    return {"MetricDataResults": results, "Messages": []}


def test_metrics_of_cloudwatch_are_joined_by_time(load: Load):
    answer = cloudwatch(("m1", "CPU", N), ("m2", "Net", 30), ("m3", "CPU", N))
    data = load(dump(answer), "json", asset_id="P")
    assert data.feature_names == ["CPU", "Net", "CPU m3"]
    assert data.streams[0].values[4].tolist() == [1, 1, 1]
    assert np.isnan(data.streams[0].values[:, 1]).sum() == N - 30
    with pytest.raises(DatasetError, match="an error of CloudWatch: CPU: Forbidden"):
        load(dump(cloudwatch(("m1", "CPU", 1), status="Forbidden")), "json", asset_id="P")


def test_the_statistics_of_a_metric_of_cloudwatch(load: Load):
    order = np.random.default_rng(0).permutation(N).tolist()
    points = [{"Timestamp": f"2026-01-01T00:{i:02d}:00+00:00", "Average": i / 4, "Maximum": i + 1,
               "Unit": "Percent"} for i in order]  # fmt: skip
    data = load(dump({"Label": "CPU", "Datapoints": points}), "json", asset_id="P")
    assert data.feature_names == ["Average", "Maximum"]
    assert data.streams[0].values.tolist() == [[i / 4, i + 1] for i in range(N)]
