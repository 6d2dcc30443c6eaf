"""Make a trained bundle known: MLflow, the registry and its aliases, the Bento store."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from config import Settings
from datasets import Stream
from errors import AnomalyError, Unavailable
from models.bundles.bundle import Bundle
from models.registry.base import CHALLENGER, CHAMPION, Registry
from models.registry.bento_store import Imported, import_alias, import_version
from models.registry.promotion import Champion, challenge, load_champion, promote
from models.registry.pyfunc import BundleModel
from models.scoring.policy import ScoringPolicy
from training.cli.progress import ProgressDisplay
from training.data.sources import TrainingData
from training.evaluation.summary import Measures
from training.fitting.parallel_fit import Task
from training.publishing.comparison import Comparison, compare, unseen
from training.publishing.mlflow_tracking import Trained, log_training
from training.unregistered import in_words, keep

log = logging.getLogger(__name__)

HOW = "python -m training.promote --force makes it champion"
_EXAMPLE_ROWS = 5
#: Characters of a tag; MLflow takes 5,000.
_MAX_TAG = 4500
#: Figures of the held-out readings that are kept with a version.
_HELD_OUT = (
    "alarm_rate", "alarm_rate_low", "alarm_rate_high", "held_out_readings", "f1",
    "missed_alarm_rate", "events", "events_detected", "false_events_per_month.medium",
)  # fmt: skip


class JobLostError(AnomalyError):
    """The job that a training is for is not ours any more: nothing may be promoted for it."""

    code = "job_lost"


@dataclass(slots=True)
class Published:
    """Where a bundle was published.

    ``alias`` is champion or challenger; ``message`` gives the reason.
    """

    version: str
    run_id: str | None
    alias: str
    message: str
    comparison: Comparison | None
    stored: Imported | None


def publish(
    trained: Trained,
    registry: Registry,
    settings: Settings,
    policy: ScoringPolicy,
    board: ProgressDisplay,
    *,
    champion: Champion,
    promote_mode: str = "auto",
    native: bool = True,
    confirm: Callable[[], None] = lambda: None,
) -> Published:
    """Log, register, set the alias under the rule, import into the Bento store.

    Parameters
    ----------
    champion : Champion
        As it was when the training began; one promoted since then is what is compared with.
    confirm : callable
        Called just before an alias moves.

    Raises
    ------
    JobLostError
        As ``confirm`` raises it; no alias moved.
    Unavailable
        MLflow failed: the message says where the bundle is kept, and how to go on.
    """
    version = _registered(trained, registry, settings, policy, native)
    cache = settings.var_dir / "bundles"
    try:
        alias, message, found = _alias(trained, registry, policy, board, version, champion,
                                       cache, promote_mode, confirm)  # fmt: skip
    except JobLostError:
        raise
    except Exception as error:
        raise Unavailable(
            f"version {version} is registered, but whether it shall be champion could not be"
            f" settled: {in_words(error)}; python -m training.promote --version {version} does it"
        ) from error
    stored = _imported(registry, settings, version, alias)
    return Published(version, trained.run_id, alias, message, found, stored)


def _imported(registry: Registry, settings: Settings, version: str, alias: str) -> Imported | None:
    """Import it into the Bento store; None when that failed, which undoes no training.

    A Bento packs, and falls back on, the champion; never what was merely trained last.
    """
    cache = settings.var_dir / "bundles"
    stored = None
    try:
        stored = import_version(registry, version, cache, kept=settings.bundles_kept)
        if alias == CHALLENGER:
            import_alias(registry, CHAMPION, cache)
    except Exception as error:  # MLflow, BentoML and the disk raise what they like
        reason = error.message if isinstance(error, AnomalyError) else f"{error!r:.300}"
        log.warning(
            "version %s is registered and %s, but could not be imported into the Bento store"
            " (that matters for the next 'bentoml build' only): %s", version, alias, reason,
        )  # fmt: skip
    return stored


def _registered(
    trained: Trained, registry: Registry, settings: Settings, policy: ScoringPolicy, native: bool
) -> str:
    """Log and register; a failure of MLflow, whichever it is, must not cost the fit."""
    tags = {
        "groups": str(len(trained.bundle.groups)),
        "source": trained.data.source,
        "content_version": trained.bundle.version,
        "recipe": json.dumps(dict(trained.recipe)),
        "held_out": held_out_tag(trained.measured),
    }
    example, output = example_frames(trained.bundle, trained.data, policy)
    try:
        if trained.run_id is not None:
            log_training(settings.mlflow_uri(), trained, policy, native)
        return registry.register(
            trained.folder, run_id=trained.run_id, tags=tags, example=example, output_example=output
        )
    except Exception as error:
        home = keep(trained.folder, trained.bundle.version, tags, example, settings.var_dir)
        raise Unavailable(
            f"the fit is done, but it could not be registered: {in_words(error)}; the bundle is"
            f" kept: python -m training.promote --register {shlex.quote(str(home))}",
            code="registry_unavailable",
        ) from error


def held_out_tag(measured: Mapping[str, Measures]) -> str:
    """Return what was measured on held-out readings, by group, short enough for a tag."""
    kept: dict[str, dict[str, float]] = {}
    for group, measures in measured.items():
        found = measures.flat()
        figures = {name: float(f"{found[name]:.4g}") for name in _HELD_OUT if name in found}
        if len(json.dumps({**kept, group: figures})) > _MAX_TAG:
            break
        kept[group] = figures
    return json.dumps(kept)


def _alias(
    trained: Trained,
    registry: Registry,
    policy: ScoringPolicy,
    board: ProgressDisplay,
    version: str,
    champion: Champion,
    cache: Path,
    mode: str,
    confirm: Callable[[], None],
) -> tuple[str, str, Comparison | None]:
    """Set champion or challenger; return which, why, and the comparison where one was made.

    The champion may be another than when the training began, and another again once the two are
    compared: the verdict counts only for the one that it was given on.
    """
    current = load_champion(registry, cache, champion)
    while True:
        alias, verdict, message, found = _verdict(
            trained, policy, board, current, current.version != champion.version, mode
        )
        still = load_champion(registry, cache, current)
        if still is current:
            break
        current = still
    confirm()
    (promote if alias == CHAMPION else challenge)(registry, version, verdict)
    return alias, message, found


def _verdict(
    trained: Trained,
    policy: ScoringPolicy,
    board: ProgressDisplay,
    champion: Champion,
    moved: bool,
    mode: str,
) -> tuple[str, str, str, Comparison | None]:
    """Return alias, verdict, message and comparison against one champion (new, if ``moved``)."""
    before = champion.version
    if before is None:
        return CHAMPION, "the first bundle", "the first bundle: champion at once", None
    now = f"version {before}" + (", promoted meanwhile" if moved else "")
    if mode == "true":
        why = "promoted on request"
        return CHAMPION, why, f"{why}, replacing {now}", None
    if mode == "false":
        why = "kept back on request"
        return CHALLENGER, why, f"kept as challenger on request; {HOW}", None
    if moved and trained.carried:
        why = f"its other groups are those of the champion before {now}"
        return CHALLENGER, why, f"stays challenger: {why}; {HOW}", None
    found, why = None, "the champion cannot be loaded"
    if champion.bundle is not None:
        found, why = _compared(trained, champion.bundle, policy, board)
    if found is not None and found.better:
        return CHAMPION, found.reason, f"promoted, replacing {now}: {found.reason}", found
    if found is not None and found.comparable:
        return CHALLENGER, found.reason, f"stays challenger: {found.reason}; {HOW}", found
    message = f"stays challenger, not comparable with the champion, {now}: {why}; {HOW}"
    return CHALLENGER, f"not comparable: {why}", message, found


def _compared(
    trained: Trained, champion: Bundle, policy: ScoringPolicy, board: ProgressDisplay
) -> tuple[Comparison | None, str]:
    data, skip = held_out(trained.tasks, trained.data)
    if not data.streams:
        return None, "there are no held-out readings"
    try:
        group = None if trained.data.timed else trained.tasks[0].name
        twins = champion.twin(), trained.bundle.twin()
        # a bundle of a release that recorded nothing was fitted without its newest readings, too
        data, skip, why = unseen(data, skip, twins, group, strict=False)
        if why:
            return None, why
        found = compare(*twins, data, skip, policy, board.part(""), group)
    except AnomalyError as error:
        return None, error.message
    return found, found.reason


def held_out(
    tasks: Sequence[Task], data: TrainingData, whole: bool = False
) -> tuple[TrainingData, list[int]]:
    """Return all streams that have held-out readings, on one set of columns, and their pasts.

    With ``whole`` all streams, without a past.

    Parameters
    ----------
    tasks
        Their streams, each with the part that was fitted on.
    data
        What is kept of it: everything but streams and columns.
    whole
        Take all of each stream.
    """
    names = list(dict.fromkeys(n for task in tasks for n in task.prepared.feature_names))
    streams: list[Stream] = []
    skip: list[int] = []
    for task in tasks:
        at = [names.index(n) for n in task.prepared.feature_names]
        for stream, cut in zip(task.prepared.streams, task.prepared.cut, strict=True):
            past = 0 if whole else cut
            if past >= len(stream.timestamps):
                continue
            values = stream.values
            if len(at) != len(names):
                values = np.full((len(stream.timestamps), len(names)), np.nan)
                values[:, at] = stream.values
            streams.append(replace(stream, values=values))
            skip.append(past)
    return replace(data, feature_names=names, streams=streams, single=()), skip


def example_frames(
    bundle: Bundle, data: TrainingData, policy: ScoringPolicy
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a few readings as the pyfunc model takes them, and its answer.

    Parameters
    ----------
    data
        The first readings of its first streams are taken.
    policy
        By which the answer is judged.
    """
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
