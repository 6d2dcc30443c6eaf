"""A whole training: groups, fits, measures; then :mod:`training.publishing.publish` makes it
known."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from config import Settings
from errors import TrainingError
from models.bundles.bundle import Bundle
from models.fitting.options import FitOptions
from models.scoring.adaptation import ScoringPolicy
from training.cli.common import policy_of, registry_of
from training.cli.progress import ProgressDisplay
from training.data.groups import Grouping, by_rules, for_group, group_streams
from training.data.preparation import prepare
from training.data.sources import TrainingData
from training.evaluation.summary import Measures, measure
from training.fitting.bundle_builder import assemble
from training.fitting.parallel_fit import Result, Task, run_tasks
from training.publishing.mlflow_tracking import begun_run
from training.publishing.promotion import load_champion
from training.publishing.publish import Published, Trained, publish


@dataclass(slots=True)
class Request:
    """What is to be trained, and how.

    Parameters
    ----------
    data, options : what and with which hyper-parameters.
    group_by, groups_file : how streams are dealt out; neither: one group.
    as_champion : deal them out, and fit each group, as the champion was (training jobs); of
        ``options`` only the models count then.
    only : retrain this group of the champion alone, carry the others over.
    missing : "drop" or "refuse", see :mod:`training.data.preparation`.
    holdout : share of the newest readings that is not fitted on.
    promote : "auto", "true" or "false".
    jobs : fits at one time; as many as cores when absent.
    native : log the detectors in MLflow's own flavours, too.
    recipe : what reads the same data again; kept with the version for later comparisons.
    confirm : called just before an alias moves; what it raises ends the training.
    """

    data: TrainingData
    options: FitOptions
    group_by: str | None = None
    groups_file: Path | None = None
    as_champion: bool = False
    only: str | None = None
    missing: str = "drop"
    holdout: float = 0.2
    promote: str = "auto"
    jobs: int | None = None
    native: bool = True
    recipe: Mapping[str, Any] = field(default_factory=dict)
    confirm: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Outcome:
    """What a training came to."""

    trained: Trained
    published: Published
    notes: list[str]


def train(request: Request, settings: Settings, board: ProgressDisplay) -> Outcome:
    """Train, log, register, promote under the rule, import into the Bento store.

    Raises
    ------
    TrainingError
        The data cannot be used; the message names what is wrong.
    Unavailable
        MLflow cannot be used, found before the fit; or it failed after it, and the bundle is kept.
    """
    policy = policy_of(settings)
    registry = registry_of(settings)
    champion = load_champion(registry, settings.var_dir / "bundles")
    grouping, carried = _grouping(request, champion.bundle, champion.problem)
    tasks = _tasks(request, grouping, policy, champion.bundle)
    fingerprint = request.data.fingerprint()
    with (
        begun_run(registry, fingerprint) as run_id,
        tempfile.TemporaryDirectory() as scratch,
    ):
        results = _fitted(tasks, board, request.jobs)
        folder = Path(scratch) / "bundle"
        sets = {r.name: r.model_set for r in results if r.model_set is not None}
        trained = Trained(
            bundle=assemble(sets, grouping.rules, folder, carried),
            folder=folder,
            tasks=tasks,
            results=results,
            measured=_measured(results, request.data.timed, policy),
            fingerprint=fingerprint,
            data=request.data,
            run_id=run_id,
            carried=carried is not None,
            recipe={
                **request.recipe,
                "holdout": request.holdout,
                "missing": request.missing,
                "group": None if request.data.timed else tasks[0].name,
            },
        )
        published = publish(
            trained, registry, settings, policy, board,
            champion=champion, promote_mode=request.promote, native=request.native,
            confirm=request.confirm,
        )  # fmt: skip
    notes = [*request.data.notes, *([champion.problem] if champion.problem else [])]
    notes += grouping.notes + [note for result in results for note in result.notes]
    return Outcome(trained, published, list(dict.fromkeys(notes)))


def _grouping(
    request: Request, champion: Bundle | None, problem: str | None
) -> tuple[Grouping, Bundle | None]:
    """Which streams train which group, and the bundle whose other groups are carried over."""
    only = request.only
    if only is None and not request.data.timed and champion is not None:
        if len(champion.groups) > 1:
            raise TrainingError(
                "a bare matrix belongs to one group: name it, one of"
                f" {', '.join(champion.groups)[:300]}",
                field="group",
            )
        only = champion.groups[0]
    if only is not None:
        if champion is None:
            if problem is None and request.only == "default":
                return group_streams(request.data), None
            raise TrainingError(
                problem or f"there is no champion yet whose group {only!r} could be trained anew",
                field="group",
            )
        return for_group(request.data, champion, only), champion
    if request.as_champion and champion is not None and champion.rules:
        return by_rules(request.data, champion.rules), None
    return group_streams(request.data, request.group_by, request.groups_file), None


def _options(request: Request, champion: Bundle | None, group: str) -> FitOptions:
    """A limit or a policy for missing features that was once set must not go by a retraining."""
    if not request.as_champion or champion is None or group not in champion.groups:
        return request.options
    kept = FitOptions.from_dict(champion.model_set(group).options)
    return replace(kept, models=request.options.models)


def _tasks(
    request: Request, grouping: Grouping, policy: ScoringPolicy, champion: Bundle | None
) -> list[Task]:
    alone = len(grouping.groups) == 1
    tasks = []
    for group, data in grouping.groups.items():
        prepared = prepare(
            data.streams,
            data.feature_names,
            missing=request.missing,
            holdout=request.holdout,
            what="data" if alone else f"group {group!r}",
        )
        options = _options(request, champion, group)
        tasks.append(Task(group, prepared, options, policy, timed=data.timed))
    return tasks


def _fitted(tasks: Sequence[Task], board: ProgressDisplay, jobs: int | None) -> list[Result]:
    """All results in the order of the tasks; the first failure stops the rest."""
    found: dict[str, Result] = {}
    for result in run_tasks(tasks, board, jobs):
        if result.error is not None:
            where = f"group {result.name!r}: " if len(tasks) > 1 else ""
            raise TrainingError(where + result.error.message, field=result.error.field)
        found[result.name] = result
    return [found[task.name] for task in tasks]


def _measured(results: Sequence[Result], timed: bool, policy: ScoringPolicy) -> dict[str, Measures]:
    out = {}
    for result in results:
        if result.scored and result.model_set is not None:
            interval = result.model_set.preprocessing.interval if timed else None
            out[result.name] = measure(result.scored, policy, interval)
    return out
