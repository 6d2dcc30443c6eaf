"""Make a trained bundle known: MLflow, the registry and its aliases, the Bento store."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from config import Settings
from datasets import Stream
from errors import AnomalyError
from models.bundle import Bundle
from models.pyfunc import BundleModel
from models.registry import CHALLENGER, CHAMPION, Registry
from models.store import Imported, import_alias, import_version
from models.thresholds import Policy
from training.comparison import Comparison, compare
from training.groups import Result, Task
from training.measures import Measures
from training.progress import Board
from training.promotion import challenge, promote
from training.sources import TrainingData

log = logging.getLogger(__name__)

HOW = "python -m training.promote --force makes it champion"
_EXAMPLE_ROWS = 5


@dataclass(slots=True)
class Trained:
    """A bundle on disk and all that is known of how it came about."""

    bundle: Bundle
    folder: Path
    tasks: Sequence[Task]
    results: Sequence[Result]
    measured: Mapping[str, Measures]
    fingerprint: dict[str, Any]
    data: TrainingData
    recipe: Mapping[str, Any]


@dataclass(slots=True)
class Published:
    """Where the bundle went. ``alias``: champion or challenger; ``message`` says why."""

    version: str
    run_id: str | None
    alias: str
    message: str
    comparison: Comparison | None
    stored: Imported


def publish(
    trained: Trained,
    registry: Registry,
    settings: Settings,
    policy: Policy,
    board: Board,
    *,
    champion: Bundle | None,
    promote_mode: str = "auto",
    native: bool = True,
) -> Published:
    """Log, register, set the alias under the rule, import into the Bento store.

    Raises
    ------
    Unavailable
        MLflow cannot be reached.
    """
    run_id = _logged(trained, settings, policy, native)
    frames: tuple[Any, Any] = example_frames(trained.bundle, trained.data, policy)
    version = registry.register(
        trained.folder,
        run_id=run_id,
        tags={
            "groups": str(len(trained.bundle.groups)),
            "source": trained.data.source,
            "content_version": trained.bundle.version,
            "recipe": json.dumps(dict(trained.recipe)),
        },
        example=frames[0],
        output_example=frames[1],
    )
    alias, message, found = _alias(trained, registry, policy, board, version, champion,
                                   promote_mode)  # fmt: skip
    stored = import_version(registry, version, settings.var_dir / "bundles")
    if alias == CHALLENGER:
        _champion_stays_latest(registry, settings)
    return Published(version, run_id, alias, message, found, stored)


def _champion_stays_latest(registry: Registry, settings: Settings) -> None:
    """A Bento packs, and falls back on, the champion; never what was merely trained last."""
    try:
        import_alias(registry, CHAMPION, settings.var_dir / "bundles")
    except AnomalyError as error:  # a champion that is damaged spoils no training
        log.warning("the champion cannot be imported into the Bento store: %s", error.message)


def _logged(trained: Trained, settings: Settings, policy: Policy, native: bool) -> str | None:
    if not settings.mlflow_enabled:
        return None
    from models.mlflow_registry import MlflowRegistry
    from training.tracking import Training, log_training

    uri = settings.mlflow_uri()
    experiment_id = MlflowRegistry(uri, settings.mlflow_experiment_name).prepare()
    command = {f"recipe.{k}": v for k, v in trained.recipe.items()}
    first, *others = [task.options.to_dict() for task in trained.tasks]
    options = {  # those that all groups share
        k: v
        for k, v in first.items()
        if v not in ({}, None) and all(other[k] == v for other in others)
    }
    training = Training(
        trained.bundle, trained.fingerprint, trained.tasks, trained.results, trained.measured,
        policy, {**command, **options}, native,
    )  # fmt: skip
    return log_training(uri, experiment_id, training)


def _alias(
    trained: Trained,
    registry: Registry,
    policy: Policy,
    board: Board,
    version: str,
    champion: Bundle | None,
    mode: str,
) -> tuple[str, str, Comparison | None]:
    """Set champion or challenger; which of them, why, and the comparison where one was made."""
    before = registry.alias(CHAMPION)
    if before is None:
        promote(registry, version, "the first bundle")
        return CHAMPION, "the first bundle: champion at once", None
    if mode == "true":
        promote(registry, version, "promoted on request")
        return CHAMPION, f"promoted on request, replacing version {before}", None
    if mode == "false":
        challenge(registry, version, "kept back on request")
        return CHALLENGER, f"kept as challenger on request; {HOW}", None
    found, why = None, "the champion cannot be loaded"
    if champion is not None:
        found, why = _compared(trained, champion, policy, board)
    if found is not None and found.better:
        promote(registry, version, found.reason)
        return CHAMPION, f"promoted, replacing version {before}: {found.reason}", found
    if found is not None and found.comparable:
        challenge(registry, version, found.reason)
        return CHALLENGER, f"stays challenger: {found.reason}; {HOW}", found
    challenge(registry, version, f"not comparable: {why}")
    return CHALLENGER, f"stays challenger, not comparable with the champion: {why}; {HOW}", found


def _compared(
    trained: Trained, champion: Bundle, policy: Policy, board: Board
) -> tuple[Comparison | None, str]:
    data, skip = held_out(trained.tasks, trained.data)
    if not data.streams:
        return None, "no readings were held out"
    try:
        group = None if trained.data.timed else trained.tasks[0].name
        found = compare(champion, trained.bundle, data, skip, policy, board.part(""), group)
    except AnomalyError as error:
        return None, error.message
    return found, found.reason


def held_out(tasks: Sequence[Task], data: TrainingData) -> tuple[TrainingData, list[int]]:
    """All groups' streams that have held-out readings, on one set of columns, and their pasts."""
    names = list(dict.fromkeys(n for task in tasks for n in task.prepared.feature_names))
    streams: list[Stream] = []
    skip: list[int] = []
    for task in tasks:
        at = [names.index(n) for n in task.prepared.feature_names]
        for stream, cut in zip(task.prepared.streams, task.prepared.cut, strict=True):
            if cut >= len(stream.timestamps):
                continue
            values = stream.values
            if len(at) != len(names):
                values = np.full((len(stream.timestamps), len(names)), np.nan)
                values[:, at] = stream.values
            streams.append(replace(stream, values=values))
            skip.append(cut)
    return replace(data, feature_names=names, streams=streams, single=()), skip


def example_frames(
    bundle: Bundle, data: TrainingData, policy: Policy
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A few readings as the pyfunc model takes them, and what it answers."""
    parts = []
    for stream in data.streams[:3]:
        rows = slice(0, _EXAMPLE_ROWS)
        part = pd.DataFrame(stream.values[rows], columns=data.feature_names)
        part.insert(0, "asset_id", stream.asset_id)
        part.insert(1, "sensor_id", stream.sensor_id or "")
        times = stream.timestamps[rows].astype("datetime64[us]").astype(str)
        part.insert(2, "timestamp", [f"{time}+00:00" for time in times])
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    return frame, BundleModel(bundle, policy).predict(frame)
