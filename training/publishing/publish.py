"""Publish a trained bundle: log to MLflow, register, set an alias, import into the Bento store."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from config import Settings
from datasets import Stream, key_of
from errors import AnomalyError, Unavailable
from models.bundles.bundle import Bundle
from models.registry.base import CHALLENGER, CHAMPION, Registry
from models.registry.bento_store import Imported, import_alias, import_version
from models.registry.promotion import Champion, challenge, load_champion, promote
from models.registry.pyfunc import BundleModel
from models.scoring.policy import ScoringPolicy
from training.cli.common import policy_of
from training.cli.progress import ProgressDisplay
from training.data.former import tested_on
from training.data.sources import TrainingData
from training.evaluation.summary import Measures
from training.fitting.parallel_fit import Task
from training.publishing.comparison import Comparison, compare, foreign, unseen
from training.publishing.mlflow_tracking import Trained, log_training
from training.unregistered import describe_failure, keep_somewhere, sentence_of

log = logging.getLogger(__name__)

HOW = "python -m training.promote --force makes it champion"
_EXAMPLE_ROWS = 5  # per stream, in the model's input example
#: Maximum number of characters of a tag; MLflow allows 5,000.
_MAX_TAG = 4500
#: Figures on held-out readings that are stored with a version.
_HELD_OUT = (
    "alarm_rate", "alarm_rate_low", "alarm_rate_high", "held_out_readings", "f1",
    "missed_alarm_rate", "events", "events_detected", "false_events_per_month.medium",
)  # fmt: skip


class JobLostError(AnomalyError):
    """The training's job has another owner now, so nothing may be promoted for it."""

    code = "job_lost"


@dataclass(slots=True)
class Published:
    """Result of a publication: ``alias`` is champion or challenger, ``message`` says why."""

    version: str
    run_id: str | None
    alias: str
    message: str
    comparison: Comparison | None
    stored: Imported | None


@dataclass(slots=True)
class Publication:
    """Publish a trained bundle, and decide whether it becomes champion.

    Parameters
    ----------
    trained, registry, settings, display : the bundle, where to publish it, and what shows progress.
    champion : the champion when the training began; the comparison uses the current one.
    mode : "auto", "true" or "false": whether to promote the bundle.
    native : also log the detectors in MLflow's native flavours.
    confirm : called just before an alias moves; an exception from it ends the publication.
    """

    trained: Trained
    registry: Registry
    settings: Settings
    display: ProgressDisplay
    champion: Champion
    mode: str = "auto"
    native: bool = True
    confirm: Callable[[], None] = lambda: None

    @property
    def policy(self) -> ScoringPolicy:
        """Return the service's scoring policy."""
        return policy_of(self.settings)

    @property
    def cache(self) -> Path:
        """Return the folder of fetched bundles."""
        return self.settings.var_dir / "bundles"

    def publish(self) -> Published:
        """Log, register, set the alias under the rule, import into the Bento store.

        Raises
        ------
        JobLostError
            Raised by ``confirm``; no alias moved.
        Unavailable
            MLflow failed; the message says where the bundle is kept and how to continue.
        """
        version = self._registered()
        try:
            alias, message, found = self._alias(version)
        except JobLostError:
            raise
        except Exception as error:
            raise Unavailable(
                f"version {version} is registered, but it could not be decided whether it becomes"
                f" champion: {describe_failure(error)}; python -m training.promote --version"
                f" {version} decides it"
            ) from error
        stored = self._imported(version, alias)
        return Published(version, self.trained.run_id, alias, message, found, stored)

    def _imported(self, version: str, alias: str) -> Imported | None:
        """Import the version into the Bento store; return None if that fails, with a warning.

        A Bento packs the champion, so after a challenger the champion is imported again.
        """
        stored = None
        try:
            kept = self.settings.bundles_kept
            stored = import_version(self.registry, version, self.cache, kept=kept)
            if alias == CHALLENGER:
                import_alias(self.registry, CHAMPION, self.cache)
        except Exception as error:  # MLflow, BentoML and the disk may raise any error
            log.warning(
                "version %s is registered and %s, but could not be imported into the Bento store"
                " (that matters for the next 'bentoml build' only): %s",
                version, alias, sentence_of(error),
            )  # fmt: skip
        return stored

    def _registered(self) -> str:
        """Log and register; on any failure keep the bundle, so that the fit is not lost."""
        trained, var_dir = self.trained, self.settings.var_dir
        tags = {
            "groups": str(len(trained.bundle.groups)),
            "source": trained.data.source,
            "content_version": trained.bundle.version,
            "recipe": json.dumps(dict(trained.recipe)),
            "held_out": held_out_tag(trained.measured),
        }
        examples = example_frames(trained.bundle, trained.data, self.policy)
        try:
            if trained.run_id is not None:
                log_training(self.settings.mlflow_uri(), trained, self.policy, self.native)
            return self.registry.register(
                trained.folder, run_id=trained.run_id, tags=tags, examples=examples
            )
        except Exception as error:
            kept = keep_somewhere(
                trained.folder, trained.bundle.version, tags, examples[0], var_dir
            )
            raise Unavailable(
                f"the fit is done, but it could not be registered: {describe_failure(error)};"
                f" {kept}",
                code="registry_unavailable",
            ) from error

    def _alias(self, version: str) -> tuple[str, str, Comparison | None]:
        """Set champion or challenger; return the alias, the reason and the comparison, if any.

        The champion may change during the training and during the comparison. The comparison is
        repeated until the champion has not changed since it began.
        """
        current = load_champion(self.registry, self.cache, self.champion)
        while True:
            alias, verdict, message, found = self._verdict(current)
            still = load_champion(self.registry, self.cache, current)
            if still is current:
                break
            current = still
        self.confirm()
        (promote if alias == CHAMPION else challenge)(self.registry, version, verdict)
        return alias, message, found

    def _verdict(self, champion: Champion) -> tuple[str, str, str, Comparison | None]:
        """Return alias, verdict, message and comparison against one champion."""
        before, moved = champion.version, champion.version != self.champion.version
        if before is None:
            why = "the first bundle"
            also = ", though it was not to be promoted" if self.mode == "false" else ""
            return CHAMPION, why, f"{why}: champion at once{also}", None
        now = f"version {before}" + (", promoted meanwhile" if moved else "")
        if self.mode == "true":
            why = "promoted on request"
            return CHAMPION, why, f"{why}, replacing {now}", None
        if self.mode == "false":
            why = "kept back on request"
            return CHALLENGER, why, f"kept as challenger on request; {HOW}", None
        if moved and self.trained.carried:
            why = f"its other groups are those of the champion before {now}"
            return CHALLENGER, why, f"stays challenger: {why}; {HOW}", None
        found, why = None, "the champion cannot be loaded"
        if champion.bundle is not None:
            found, why = self._compared(champion.bundle, before)
        if found is not None and found.better:
            return CHAMPION, found.reason, f"promoted, replacing {now}: {found.reason}", found
        if found is not None and found.comparable:
            return CHALLENGER, found.reason, f"stays challenger: {found.reason}; {HOW}", found
        source = self._source(before)
        message = f"stays challenger, not comparable with the champion, {now}{source}: {why}; {HOW}"
        return CHALLENGER, f"not comparable: {why}", message, found

    def _source(self, version: str) -> str:
        """Say what a version was trained on, if it is known."""
        source = self._tags(version).get("source")
        return f" (trained on {source})" if source else ""

    def _tags(self, version: str) -> Mapping[str, Any]:
        known: dict[str, Mapping[str, Any]] = {
            one["version"]: one["tags"] for one in self.registry.versions()
        }
        return known.get(version, {})

    def _compared(self, champion: Bundle, version: str) -> tuple[Comparison | None, str]:
        trained = self.trained
        data, skip = held_out(trained.tasks, trained.data)
        if not data.streams:
            return None, "there are no held-out readings"
        try:
            group = None if trained.data.timed else trained.tasks[0].name
            twins = champion.twin(), trained.bundle.twin()
            # not strict: early releases recorded no range, but also held out the newest readings
            data, skip, why = unseen(data, skip, twins, group, strict=False)
            if why:
                return None, why
            stage = self.display.part("")
            found = compare(*twins, data, skip, self.policy, stage, group, twins=True)
        except AnomalyError as error:
            return None, error.message
        if found.better and group is not None:
            return self._on_former_readings(found, champion, version, group)
        return found, found.reason

    def _on_former_readings(
        self, found: Comparison, champion: Bundle, version: str, group: str
    ) -> tuple[Comparison | None, str]:
        """Compare also on what the champion was tested on, since the new readings have no times.

        Nothing shows that they are newer, or those of the plant. If the challenger takes what is
        known to be normal for anomalies, the two were fitted on different things.

        Parameters
        ----------
        found : Comparison
            That on the new readings.
        champion, version : Bundle, str
            The champion.
        group : str
            The group that was trained.
        """
        try:
            recipe = json.loads(self._tags(version).get("recipe", "{}"))
            data = tested_on(recipe, champion, group, self.settings)
            twins = champion.twin(), self.trained.bundle.twin()
            why = foreign(*twins, data, self.policy, group)
        except AnomalyError as error:
            return None, (
                "its readings have no times that show them to be newer, and those that the champion"
                f" was tested on cannot be read again ({error.message})"
            )
        if why:
            found.better, found.reason = False, why
        return found, found.reason


def held_out_tag(measured: Mapping[str, Measures]) -> str:
    """Return the figures on held-out readings by group, as JSON short enough for a tag."""
    kept: dict[str, dict[str, float]] = {}
    for group, measures in measured.items():
        found = measures.flat()
        figures = {name: float(f"{found[name]:.4g}") for name in _HELD_OUT if name in found}
        if len(json.dumps({**kept, group: figures})) > _MAX_TAG:
            break
        kept[group] = figures
    return json.dumps(kept)


def held_out(
    tasks: Sequence[Task], data: TrainingData, whole: bool = False
) -> tuple[TrainingData, list[int]]:
    """Return all streams with held-out readings, with common columns, and their past readings.

    Parameters
    ----------
    tasks
        Give the streams and their fitted parts.
    data
        Gives everything except streams and columns.
    whole
        Return all streams, with no reading past.
    """
    names = list(dict.fromkeys(n for task in tasks for n in task.prepared.feature_names))
    streams: list[Stream] = []
    skip: list[int] = []
    single: list[str | None] = []
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
            single.append(task.single.get(key_of(stream)))
    return replace(data, feature_names=names, streams=streams, single=single), skip


def example_frames(
    bundle: Bundle, data: TrainingData, policy: ScoringPolicy
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a few readings as input of the pyfunc model, and its output.

    Parameters
    ----------
    bundle
        Scores the readings.
    data
        Its first streams provide the first readings.
    policy
        Scoring policy.
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
