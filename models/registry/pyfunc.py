"""A bundle as an MLflow pyfunc model: a frame of readings in, a frame of results out.

It is loaded by ``mlflow.pyfunc.load_model``. The model's data are the bundle's files, so nothing is
pickled. The frame may have the columns ``asset_id``, ``sensor_id``, ``timestamp`` (ISO 8601 or
datetime) and ``criticality``; every other column is a feature, and an empty cell a missing value.

Each stream of the frame is scored from a fresh state, in order of time (of rows, without times). A
frame must therefore contain all readings of its streams, as Spark's batches do if the table is
partitioned by stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from errors import AnomalyError
from models.bundles.bundle import Bundle
from models.detectors.base import MODEL_NAMES
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from models.scoring.stream_work import Reading, present_features
from schemas import parse_timestamp

KEYS = ("asset_id", "sensor_id", "timestamp", "criticality")
OUTPUT = ("final_score", "p", "threshold", "is_anomaly", "criticality", *MODEL_NAMES, "error")
_NOTHING: dict[str, Any] = {
    **dict.fromkeys(OUTPUT, np.nan), "is_anomaly": False, "criticality": "", "error": "",
}  # fmt: skip


class BundleModel:
    """The model that ``load_model`` wraps; the default policy has the contract's budgets."""

    def __init__(self, bundle: Bundle, policy: ScoringPolicy | None = None) -> None:
        self.bundle = bundle
        self.policy = policy or ScoringPolicy()

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return one row per reading, in the given order, with the columns of OUTPUT.

        A reading that cannot be scored has a message in ``error`` and NaN in every figure.
        """
        frame = model_input.reset_index(drop=True)
        rows: list[dict[str, Any]] = [_NOTHING] * len(frame)
        times = _times(frame)
        for (asset, sensor), indices in _streams(frame).items():
            indices.sort(key=lambda index: times[index])
            for index, result in zip(indices, self._stream(frame, asset, sensor, indices, times),
                                     strict=True):  # fmt: skip
                rows[index] = result
        return pd.DataFrame(rows, columns=list(OUTPUT), index=model_input.index)

    def _stream(
        self,
        frame: pd.DataFrame,
        asset: str,
        sensor: str | None,
        indices: list[int],
        times: list[datetime],
    ) -> Iterator[dict[str, Any]]:
        names = [str(column) for column in frame.columns if column not in KEYS]
        criticality = "medium"
        if "criticality" in frame.columns and isinstance(frame["criticality"][indices[0]], str):
            criticality = str(frame["criticality"][indices[0]])
        try:
            model_set = self.bundle.model_set(self.bundle.group_for(asset, sensor, None))
        except AnomalyError as error:
            yield from ({**_NOTHING, "error": error.message} for _ in indices)
            return
        values = frame[names].to_numpy(np.float64)[indices].tolist()
        points = (
            Reading(times[index], present_features(names, row))
            for index, row in zip(indices, values, strict=True)
        )
        ids = (asset, sensor, None)
        for part in replay(model_set, ids, points, self.policy, criticality):
            yield from map(_row, part)


def _row(result: dict[str, Any]) -> dict[str, Any]:
    if "error" in result:
        return {**_NOTHING, "error": result["error"]["message"]}
    row = {**_NOTHING, **{name: result[name] for name in OUTPUT[:5]}}
    return row | {one["model_name"]: one["score"] for one in result["scores"]}


def _streams(frame: pd.DataFrame) -> dict[tuple[str, str | None], list[int]]:
    nothing = [None] * len(frame)
    assets = frame["asset_id"].tolist() if "asset_id" in frame.columns else nothing
    sensors = frame["sensor_id"].tolist() if "sensor_id" in frame.columns else nothing
    out: dict[tuple[str, str | None], list[int]] = {}
    for index, (asset, sensor) in enumerate(zip(assets, sensors, strict=True)):
        key = (
            asset if isinstance(asset, str) else "unknown",
            sensor if isinstance(sensor, str) and sensor else None,
        )
        out.setdefault(key, []).append(index)
    return out


def _times(frame: pd.DataFrame) -> list[datetime]:
    if "timestamp" not in frame.columns:
        start = datetime(2000, 1, 1, tzinfo=UTC)
        return [start + timedelta(minutes=row) for row in range(len(frame))]
    return [
        parse_timestamp(at.to_pydatetime() if isinstance(at, pd.Timestamp) else at)
        for at in frame["timestamp"].tolist()
    ]


def _load_pyfunc(data_path: str) -> BundleModel:
    """Load the model; called by MLflow."""
    return BundleModel(Bundle.load(Path(data_path)))
