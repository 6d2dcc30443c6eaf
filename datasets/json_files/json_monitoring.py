"""Read the answers of monitoring tools: Prometheus, InfluxDB 1.x, Grafana and CloudWatch.

Prometheus and InfluxDB give one list per series. Each value becomes a row with the labels (tags) of
its series, as in a long table: a label may name a machine or a sensor, which only the caller knows.
Grafana and CloudWatch name their series, so those become columns, joined by equal times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from datasets.columns.long_tables import names_values
from datasets.json_files.json_documents import Document
from datasets.json_files.senml import is_record, rows_of_pack
from datasets.sampled_columns import plain_name
from errors import DatasetError

Answers = Callable[[Iterable[Document]], Iterator[Document]]


def answers_of(document: Document) -> Answers | None:
    """Return what turns a tool's answers into rows, given the first; None if it is of no tool.

    Raises
    ------
    DatasetError
        It is the report of an error.
    """
    data, results = document.get("data"), document.get("results")
    if isinstance(data, dict) and "resultType" in data:
        return _prometheus
    if isinstance(document.get("MetricDataResults"), list):
        return _cloudwatch
    if is_record(document):
        return rows_of_pack
    if isinstance(results, dict) or _is_frame(document):
        return _grafana
    if isinstance(document.get("series"), list) and all(map(_is_frame, document["series"])):
        return _grafana
    if isinstance(document.get("datapoints"), list) and "target" in document:
        return _grafana
    if isinstance(results, list) and all(
        isinstance(one, dict) and {"series", "statement_id", "error"} & one.keys()
        for one in results
    ):
        return _influx
    failed = document.get("status") == "error" or len(document) == 1
    if failed and isinstance(document.get("error"), str):
        raise DatasetError(f"holds no data but an error of the server: {document['error']!r:.200}")
    return None


def _is_frame(document: Any) -> bool:
    schema = document.get("schema", document) if isinstance(document, dict) else None
    return isinstance(schema, dict) and isinstance(schema.get("fields"), list) and (
        "values" in _dict(document.get("data")) or all("values" in _dict(f) for f in
                                                       schema["fields"])
    )  # fmt: skip


def _dict(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _prometheus(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the values of a range or instant query."""
    for document in documents:
        data = _dict(document.get("data"))
        if data.get("resultType") not in ("matrix", "vector"):
            raise DatasetError(
                f"holds a Prometheus {data.get('resultType')!r}, not series: query a range"
            )
        for series in data.get("result") or ():
            labels = _dict(series.get("metric"))
            for time, value in series.get("values") or [series["value"]]:
                yield {**labels, "timestamp": time, "value": value}


def _influx(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the rows of the series; several measurements are distinguished by a column."""
    found: list[Document] = []
    for document in documents:
        for result in document.get("results") or ():
            if "error" in result:
                raise DatasetError(f"holds an error of InfluxDB: {result['error']!r:.200}")
            found += result.get("series") or ()
    several = len({series.get("name") for series in found}) > 1
    for series in found:
        whose = {
            **({"measurement": series["name"]} if several else {}),
            **_dict(series.get("tags")),
        }
        columns = list(map(str, series.get("columns") or ()))
        for values in series.get("values") or ():
            yield {**whose, **dict(zip(columns, values, strict=True))}


def _grafana(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield one row per time, with a column for each series."""
    rows: dict[Any, Document] = {}
    names: set[str] = set()
    for frame in (frame for document in documents for frame in _frames(document)):
        schema = frame.get("schema", frame)
        fields = schema["fields"]
        columns = _dict(frame.get("data")).get("values") or [f.get("values") for f in fields]
        times = [i for i, field in enumerate(fields) if field.get("type") == "time"]
        if len(times) != 1:
            raise DatasetError(
                f"holds a Grafana table with {len(times)} columns of times, not one: export it"
                " as CSV (Inspect, Data)"
            )
        for index, field in enumerate(fields):
            if index in times:
                continue
            name = _series_name(field, schema)
            if name in names:
                name = f"{name} {schema.get('refId') or len(names)}"
            names.add(name)
            for time, value in zip(columns[times[0]], columns[index], strict=True):
                rows.setdefault(time, {"timestamp": time})[name] = value
    yield from (rows[time] for time in sorted(rows))


def _cloudwatch(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield one row per time of get-metric-data's answers, with a column for each metric."""
    rows: dict[Any, Document] = {}
    ids: dict[str, str] = {}
    for document in documents:
        for series in document["MetricDataResults"]:
            if (status := series.get("StatusCode")) in ("InternalError", "Forbidden"):
                raise DatasetError(f"holds an error of CloudWatch: {series['Label']}: {status}")
            name, which = str(series["Label"]), str(series.get("Id"))
            if ids.setdefault(name, which) != which:
                name = f"{name} {which}"
            for time, value in zip(series["Timestamps"], series["Values"], strict=True):
                rows.setdefault(time, {"timestamp": time})[name] = value
    yield from (rows[time] for time in sorted(rows))


def _frames(document: Document) -> Iterator[Document]:
    """Yield the frames of an answer, of a panel's data or of the older list of data points."""
    if "datapoints" in document:
        points = document["datapoints"]
        values = [[point[1] for point in points], [point[0] for point in points]]
        fields = [{"name": "time", "type": "time"}, {"name": str(document["target"])}]
        yield {"schema": {"fields": fields}, "data": {"values": values}}
    elif "results" in document:
        for result in document["results"].values():
            if "error" in result:
                raise DatasetError(f"holds an error of Grafana: {result['error']!r:.200}")
            yield from result.get("frames") or ()
    else:
        yield from document.get("series", [document])


def _series_name(field: Document, schema: Document) -> str:
    """Return a series' name as Grafana shows it: given, by its labels, or its frame's."""
    config = _dict(field.get("config"))
    labels = " ".join(map(str, _dict(field.get("labels")).values()))
    name = str(field.get("name") or "value")
    if names_values(plain_name(name)):
        name = labels or str(schema.get("name") or name)
    elif labels:
        name = f"{name} {labels}"
    return str(config.get("displayName") or config.get("displayNameFromDS") or name)
