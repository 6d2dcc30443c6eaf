"""Fit one group of streams in a Spark worker as :mod:`training.pipeline` would, and return rows.

A row has the fitted model sets as a zip of JSON and npz, and facts about them as JSON. A group that
cannot be fitted becomes a row with its error. Workers do not access MLflow.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets import Stream, without_repetitions
from errors import AnomalyError, TrainingError
from fleet import spark, spark_worker
from fleet.frames import MARK
from models.bundles.serialization import save_model_set
from models.fitting.options import FitOptions
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from training.data.groups import NO_SENSOR, group_streams
from training.data.other_kinds import split_by_kind
from training.data.other_units import split_by_units
from training.data.sensors import split_by_sensors
from training.data.sources import TrainingData
from training.evaluation.summary import measure
from training.fitting.parallel_fit import Result, Task, one_thread, perform
from training.group_tasks import tasks_of
from training.request import Request

#: Names in the zip: the model set for serving, and its hold-out twin.
SET: Final = "set"
TWIN: Final = "twin"
COLUMNS: Final = {"name": "string", "about": "string", "content": "binary"}


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """The data that every worker needs.

    Parameters
    ----------
    by : ``asset_id``, ``sensor_id`` or another column, whose values name the groups.
    streams : number of streams per asset, over all groups, which share its incident budget.
    request : fields of a :class:`training.request.Request`.
    """

    by: str
    features: tuple[str, ...]
    labelled: bool
    options: FitOptions
    policy: ScoringPolicy
    streams: Mapping[str, int]
    request: Mapping[str, Any]


def fit_group(plan: GroupPlan, value: str | None, table: pa.Table) -> pa.Table:
    """Fit the model set, or sets, of one group; ``table`` has its readings, stream by stream."""
    spark_worker.one_thread()
    one_thread()
    name = value or NO_SENSOR
    rows = []
    try:
        tasks, about = arranged(plan, name, table)
        for task in tasks:
            rows.append(_row(name, task, perform(task, None), about))
            about = {"notes": [], "rules": [], "fingerprint": None}  # reported only once
    except Exception as error:  # any error concerns only this group
        ours = error if isinstance(error, AnomalyError) else TrainingError(f"{error!r:.500}")
        rows.append(_failed(name, name, ours))
    return pa.Table.from_pylist(rows, schema=spark.arrow(COLUMNS))


def arranged(plan: GroupPlan, name: str, table: pa.Table) -> tuple[list[Task], dict[str, Any]]:
    """Return the tasks of a group's readings, and facts about them.

    Raises
    ------
    TrainingError
        The readings cannot be used.
    """
    data = training_data(plan, name, table)
    grouping = split_by_units(split_by_sensors(group_streams(data, plan.by)), named=True)
    grouping = split_by_kind(grouping, named=True)
    request = Request(data, plan.options, group_by=plan.by, **plan.request)
    tasks, notes = tasks_of(request, grouping, plan.policy, None)
    for task in tasks:
        mine = {stream.asset_id for stream in task.prepared.streams}
        task.streams_per_asset = float(max(plan.streams.get(asset, 1) for asset in mine))
    return tasks, {
        "notes": [*data.notes, *grouping.notes, *notes],
        "rules": [rule.to_dict() for rule in grouping.rules],
        "fingerprint": data.fingerprint(),
    }


def training_data(plan: GroupPlan, name: str, table: pa.Table) -> TrainingData:
    """Convert the rows of a group to the streams that a local training reads.

    Raises
    ------
    TrainingError
        A value is infinite; the error names asset and feature.
    """
    notes = []
    timeless = table["at"].null_count
    if timeless:
        table = table.filter(pc.is_valid(table["at"]))
        notes.append(f"group {name!r}: {timeless} readings without a time that can be read")
    values = np.column_stack([table[MARK + feature].to_numpy() for feature in plan.features])
    times = table["at"].to_numpy().astype("datetime64[us]")
    labels = None
    if plan.labelled:
        given = table["label"].cast(pa.float64()).to_numpy()
        labels = np.where(np.isnan(given), -1, given > 0).astype(np.int8)
    key = pc.binary_join_element_wise(table["asset_id"], table["sensor_id"], "\x1f")
    codes = key.combine_chunks().dictionary_encode()
    edges = [0, *(np.flatnonzero(np.diff(codes.indices.to_numpy())) + 1).tolist(), len(table)]
    streams = []
    for start, end in pairwise(edges):
        asset, sensor = table["asset_id"][start].as_py(), table["sensor_id"][start].as_py()
        part = slice(start, end)
        bad = np.argwhere(np.isinf(values[part]))
        if len(bad):
            raise TrainingError(
                f"{asset}: {plan.features[bad[0][1]]} is not finite at {times[part][bad[0][0]]}"
            )
        stream = Stream(asset, sensor or None, times[part], values[part],
                        None if labels is None else labels[part])  # fmt: skip
        streams.append(without_repetitions(stream))
    column = None
    if plan.by not in ("asset_id", "sensor_id"):
        column = {(stream.asset_id, stream.sensor_id): name for stream in streams}
    return TrainingData(list(plan.features), streams, name, column=column, notes=notes)


def _row(group: str, task: Task, result: Result, about: Mapping[str, Any]) -> dict[str, Any]:
    if result.error is not None or result.model_set is None:
        return _failed(group, task.name, result.error or TrainingError("nothing was fitted"), about)
    measures = None
    if result.scored:
        found = measure(result.scored, task.policy, result.model_set.preprocessing.interval)
        if found.curves is not None:
            found.curves = {k: found.curves[k] for k in ("roc_auc", "average_precision")}
        measures = asdict(found)
    report = {
        **about,
        "group": group,
        "error": None,
        "features": task.prepared.feature_names,
        "statistics": task.statistics(),
        "report": asdict(result.report) if result.report else None,
        "power": result.power.to_dict() if result.power else None,
        "measures": measures,
        "result_notes": result.notes,
    }
    content = _packed({SET: result.model_set, TWIN: result.twin})
    return {"name": task.name, "about": json.dumps(report, default=float), "content": content}


def _failed(
    group: str, name: str, error: AnomalyError, about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    report = {"notes": [], "rules": [], "fingerprint": None, **(about or {})}
    report |= {"group": group, "error": error.message}
    return {"name": name, "about": json.dumps(report, default=float), "content": None}


def _packed(sets: Mapping[str, ModelSet | None]) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "content"
        for name, model_set in sets.items():
            if model_set is not None:
                save_model_set(model_set, home / name)
        return Path(shutil.make_archive(str(home), "zip", home)).read_bytes()
