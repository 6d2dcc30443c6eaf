"""Log a training to MLflow: one parent run with pictures and tables, one child run per detector."""

from __future__ import annotations

import csv
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from models.bundles.bundle import Bundle
from models.detectors.base import LSTM_AUTOENCODER
from models.registry.base import Registry
from models.registry.mlflow_runs import BUNDLE_KIND, DETECTOR_KIND, GROUP_TAG, KIND_TAG, MODEL_TAG
from models.registry.mlflow_setup import silent_mlflow
from models.scoring.policy import ScoringPolicy
from training.data.sources import TrainingData
from training.evaluation import plots
from training.evaluation.summary import Measures
from training.fitting.parallel_fit import FEATURE_STATISTICS, Result, Task

#: Maximum number of groups with child runs and pictures; with more groups there are tables only.
MAX_GROUPS = 10
#: Tag of a detector's run: the native flavour it was logged in, or why it was not.
NATIVE_TAG = "anomaly.native_flavour"
#: Artifact of the run that has every note.
ALL_NOTES = "notes.txt"
_MAX_PARAM = 250  # characters, which every MLflow store accepts

log = logging.getLogger(__name__)


@runtime_checkable
class TracksRuns(Protocol):
    """A registry that also keeps runs: MLflow's."""

    def begin_run(self, name: str, documents: Mapping[str, Mapping[str, Any]]) -> str:
        """Begin a run; return its id."""

    def fail_run(self, run_id: str) -> None:
        """End a run as failed."""


@dataclass(slots=True)
class Trained:
    """A bundle on disk, and the training that produced it."""

    bundle: Bundle
    folder: Path
    tasks: Sequence[Task]
    results: Sequence[Result]
    measured: Mapping[str, Measures]
    fingerprint: dict[str, Any]
    data: TrainingData
    recipe: Mapping[str, Any]
    run_id: str | None = None  # MLflow run, begun before the fit
    carried: bool = False  # contains groups carried over from the champion
    notes: Sequence[str] = ()  # what was found, left out and decided

    def settings(self) -> dict[str, Any]:
        """Return what reproduces the training: the recipe, and the options that groups share."""
        first, *others = [task.options.to_dict() for task in self.tasks]
        shared = {
            k: v
            for k, v in first.items()
            if v not in ({}, None) and all(other[k] == v for other in others)
        }
        return {**{f"recipe.{k}": v for k, v in self.recipe.items()}, **shared}


@contextmanager
def begun_run(
    registry: Registry, fingerprint: Mapping[str, Any], quality: Mapping[str, Any] | None = None
) -> Iterator[str | None]:
    """Begin the run of a training before the fit, to find out early if MLflow does not work.

    This uses the experiment, the registered model, the server and the artifact store once. If the
    training fails, so does the run. Yields None if MLflow is off.

    Parameters
    ----------
    registry
        May keep runs.
    fingerprint, quality
        Identity and quality of the data, logged at once.

    Raises
    ------
    Unavailable, InputError
        MLflow cannot be used; the message says why.
    """
    if not isinstance(registry, TracksRuns):
        yield None
        return
    documents = {"data/fingerprint.json": dict(fingerprint)}
    if quality is not None:
        documents["data/quality.json"] = dict(quality)
    run_id = registry.begin_run("training", documents)
    try:
        yield run_id
    except BaseException:
        registry.fail_run(run_id)
        raise


def log_training(uri: str, training: Trained, policy: ScoringPolicy, native: bool) -> None:
    """Log everything except the bundle, which the registry logs, to the training's run.

    Parameters
    ----------
    uri
        Tracking URI of MLflow.
    training
        What to log.
    policy
        Gives the budgets of the pictures.
    native
        Also log the detectors in native flavours.
    """
    import mlflow

    mlflow.set_tracking_uri(uri)
    with silent_mlflow(), mlflow.start_run(run_id=training.run_id) as run:
        mlflow.set_tags(
            {
                KIND_TAG: BUNDLE_KIND,
                "anomaly.bundle_version": training.bundle.version,
                "mlflow.runName": f"bundle {training.bundle.version}",
            }
        )
        print_ = training.fingerprint
        mlflow.log_params(
            _params({**training.settings(), **{f"data.{k}": print_[k] for k in print_}})
        )
        mlflow.log_dict(training.bundle.describe(), "bundle.json")
        first = next(iter(training.measured.values()), None)
        if first is not None and len(training.measured) == 1:
            mlflow.log_metrics(first.flat())
        if len(training.results) == 1 and training.results[0].power is not None:
            mlflow.log_metrics(training.results[0].power.flat())
        mlflow.log_dict(_decisions(training), "decisions.json")
        if training.notes:
            mlflow.log_text("".join(f"{note}\n" for note in training.notes), ALL_NOTES)
        seconds = sum(r.report.seconds for r in training.results if r.report is not None)
        mlflow.log_metrics({"fit_seconds": seconds, "rows": float(print_["rows"])})
        many = len(training.results) > MAX_GROUPS
        rows = (row for task in training.tasks for row in task.statistics())
        _log_table("data/feature_statistics.csv", chain([FEATURE_STATISTICS], rows))
        _log_table("groups.csv", _group_table(training))
        if any(result.power is not None for result in training.results):
            _log_table("power.csv", _power_table(training.results))
        for task, result in zip(training.tasks, training.results, strict=True):
            if not many:
                _pictures(result, training, policy)
                _children(task, result, training, run.info.experiment_id, native)


def _params(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:_MAX_PARAM] for name, value in values.items()}


def _pictures(result: Result, training: Trained, policy: ScoringPolicy) -> None:
    import mlflow

    directory = f"pictures/{_plain(result.name)}" if len(training.results) > 1 else "pictures"
    if result.scored:
        found = training.measured[result.name]
        budgets = {name: policy.threshold(name) for name in policy.budgets}
        figures = {
            "score_distributions": plots.score_distributions(result.scored, budgets),
            "reliability": plots.reliability(found.reliability),
            "timeline": plots.timeline(result.scored, "Held-out readings"),
        }
        if found.curves is not None:
            figures["roc_pr"] = plots.roc_pr(found.curves)
        for name, figure in figures.items():
            mlflow.log_figure(figure, f"{directory}/{name}.png")
    history = _history(result)
    if history:
        mlflow.log_figure(plots.loss_curves(history), f"{directory}/loss_curves.png")


def _children(
    task: Task, result: Result, training: Trained, experiment_id: str, native: bool
) -> None:
    import mlflow

    from training.publishing import mlflow_flavors

    model_set, report = result.model_set, result.report
    if model_set is None or report is None:
        return
    rows = None
    for name, detector in model_set.detectors.items():
        label = name if len(training.results) == 1 else f"{result.name}/{name}"
        tags = {
            KIND_TAG: DETECTOR_KIND,
            MODEL_TAG: name,
            GROUP_TAG: result.name,
            "anomaly.bundle_version": training.bundle.version,
        }
        with mlflow.start_run(nested=True, run_name=label, tags=tags, experiment_id=experiment_id):
            mlflow.log_params(_params({"group": result.name, **detector.params}))
            mlflow.log_metrics(report.figures.get(name, {}))
            mlflow.log_metrics(_score_figures(result, name))
            if name == LSTM_AUTOENCODER:
                _epochs(result)
            if not native:
                mlflow.set_tag(NATIVE_TAG, "not requested")
                continue
            if name == LSTM_AUTOENCODER:
                mlflow_flavors.log_network(model_set)
                mlflow.set_tag(NATIVE_TAG, "pytorch")
                continue
            if rows is None:
                values = [stream.values for stream in task.fitted]
                times = [stream.timestamps for stream in task.fitted]
                rows = mlflow_flavors.scaled_rows(
                    model_set, task.prepared.feature_names, values, times
                )
            if mlflow_flavors.log_point_detector(detector, rows) is not None:
                mlflow.set_tag(NATIVE_TAG, "sklearn")
                continue
            mlflow.set_tag(NATIVE_TAG, "left out: the repeated fit has other scores")
            log.warning("%s: not logged in the sklearn flavour: the repeated fit has other scores"
                        " than the bundle, which is not affected", label)  # fmt: skip


def _score_figures(result: Result, name: str) -> dict[str, float]:
    parts = [one.detectors[name] for one in result.scored if name in one.detectors]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    return {
        "held_out_score_mean": float(values.mean()),
        "held_out_share_at_medium": float((values >= 0.5).mean()),
    }


def _history(result: Result) -> dict[str, list[float]]:
    detector = result.model_set and result.model_set.detectors.get(LSTM_AUTOENCODER)
    found: dict[str, list[float]] = {}
    for epoch in getattr(detector, "history", None) or []:
        for name, value in epoch.items():
            if name != "epoch":
                found.setdefault(name, []).append(float(value))
    return found


def _epochs(result: Result) -> None:
    import mlflow

    history = _history(result)
    for at in range(max(map(len, history.values()), default=0)):
        mlflow.log_metrics({n: v[at] for n, v in history.items() if at < len(v)}, step=at + 1)


def _log_table(name: str, rows: Iterable[Sequence[Any]]) -> None:
    """Log a CSV file, written row by row, since a fleet's tables are long."""
    import mlflow

    folder, _, file_name = name.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / file_name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        mlflow.log_artifact(str(path), folder or None)


def _group_table(training: Trained) -> Iterator[Sequence[Any]]:
    lines = []
    for result in training.results:
        line: dict[str, Any] = {"group": result.name}
        if result.report is not None:
            line |= {"readings": result.report.rows, "streams": result.report.streams}
            line |= {"seconds": result.report.seconds, "drift": result.report.drift_mode}
        if result.model_set is not None:
            line |= {f"trained_{k}": result.model_set.trained_on.get(k) for k in ("start", "end")}
        if result.name in training.measured:
            line |= training.measured[result.name].flat()
        if result.power is not None:
            line |= result.power.flat()
            line["not_watched"] = "; ".join(result.power.not_watched)
        lines.append(line)
    columns = list(dict.fromkeys(name for line in lines for name in line))
    yield columns
    yield from ([line.get(name) for name in columns] for line in lines)


def _power_table(results: Sequence[Result]) -> Iterator[Sequence[Any]]:
    """Yield the detected shares, one row per group, feature, fault and budget."""
    yield "group", "feature", "fault", "budget", "injected", "seen", "watched"
    for result in results:
        power = result.power
        if power is None:
            continue
        blind = set(power.not_watched)
        for feature, trials in power.shares.items():
            for trial, shares in trials.items():
                for budget, share in zip(power.budgets, shares, strict=True):
                    yield (result.name, feature, trial, budget, power.injected, share,
                           feature not in blind)  # fmt: skip
        for feature in power.not_used:
            yield result.name, feature, "", "", 0, 0.0, False


def _decisions(training: Trained) -> dict[str, Any]:
    """Return the decisions of each group's fit, with the figures they are based on."""
    out: dict[str, Any] = {}
    for result in training.results:
        if result.report is None or result.model_set is None:
            continue
        out[result.name] = {
            "trained_on": {
                k: result.model_set.trained_on.get(k) for k in ("start", "end", "readings")
            },
            "held_out_figures_of": None if result.twin is None else {
                k: result.twin.trained_on.get(k) for k in ("start", "end", "readings")
            },
            "drift": result.report.drift_mode,
            "baseline": result.report.baseline,
            "figures": result.report.figures,
            "notes": result.notes,
            "not_watched": None if result.power is None else result.power.not_watched,
            "lost_by_fitting_again": None if result.power is None else result.power.lost,
        }  # fmt: skip
    return out


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
