"""Run a training: group streams, fit, measure, and hand over to :mod:`training.publishing`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import Settings
from errors import TrainingError
from models.bundles.bundle import Bundle
from models.registry.base import Registry
from models.registry.promotion import Champion, load_champion
from models.scoring.policy import ScoringPolicy
from training.cli.common import policy_of, registry_of
from training.cli.progress import ProgressDisplay
from training.data.sources import TrainingData
from training.evaluation.summary import Measures, measure
from training.fitting.bundle_builder import build_bundle
from training.fitting.carried_groups import kept_groups, kept_twins
from training.fitting.fitted import Fitted
from training.fitting.parallel_fit import Result, Task, notes_of, run_tasks
from training.group_tasks import grouping_of, tasks_of
from training.publishing.mlflow_tracking import Trained, begun_run
from training.publishing.publish import Publication, Published
from training.request import Request


@dataclass(slots=True)
class Outcome:
    """Outcome of a training."""

    trained: Trained
    published: Published
    notes: list[str]


def train(request: Request, settings: Settings, display: ProgressDisplay) -> Outcome:
    """Train, log, register, promote under the rule, import into the Bento store.

    Parameters
    ----------
    request
        What to train and how.
    settings
        Registry, policy and folders.
    display
        Shows progress.

    Raises
    ------
    TrainingError
        The data cannot be used; the message says why.
    Unavailable
        MLflow cannot be used before the fit, or failed after it; the bundle is kept then.
    """
    policy = policy_of(settings)
    registry = registry_of(settings)
    champion = load_champion(registry, settings.var_dir / "bundles")
    grouping, carried = grouping_of(request, champion.bundle, champion.problem)
    tasks, messages = tasks_of(request, grouping, policy, champion.bundle)
    fingerprint = request.data.fingerprint()
    with begun_run(registry, fingerprint, request.quality) as run_id:
        results, failed = _fitted(tasks, display, request.jobs)
        notes = [
            *request.data.notes,
            *_unmeasured(request.data),
            *([champion.problem] if champion.problem else []),
            *grouping.notes, *messages, *failed, *notes_of(results),
        ]  # fmt: skip
        sets = {r.name: r.model_set for r in results if r.model_set is not None}
        fitted = Fitted(
            tasks=[task for task in tasks if task.name in sets],
            results=results,
            sets=sets,
            twins={r.name: r.twin for r in results if r.twin is not None},
            measured=_measured(results, request.data.timed, policy),
            fingerprint=fingerprint,
            rules=grouping.rules,
            notes=list(dict.fromkeys(notes)),
        )
        trained, published, kept = conclude(
            request, fitted, settings, registry, display, champion, run_id, carried
        )
    return Outcome(trained, published, list(dict.fromkeys([*fitted.notes, *kept])))


def conclude(
    request: Request,
    fitted: Fitted,
    settings: Settings,
    registry: Registry,
    display: ProgressDisplay,
    champion: Champion,
    run_id: str | None,
    carried: Bundle | None = None,
) -> tuple[Trained, Published, list[str]]:
    """Build one bundle from the model sets and publish it; also return notes on carried groups.

    Parameters
    ----------
    request, fitted : the training and its model sets.
    settings, registry, display : where to publish, and what shows progress.
    champion : the champion when the training began.
    run_id : MLflow run, begun before the fit.
    carried : the champion's bundle if a single group was retrained; None otherwise.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        rules, kept = kept_groups(fitted, champion.bundle, carried)
        others = kept if carried is None else set(carried.groups) - set(fitted.sets)
        twins = kept_twins(fitted.twins, champion.bundle, others)
        about_kept = [f"group {g!r}: its former model set is carried over" for g in kept]
        trained = Trained(
            bundle=build_bundle(fitted.sets, rules, folder, carried, kept, twins),
            folder=folder,
            tasks=fitted.tasks,
            results=fitted.results,
            measured=fitted.measured,
            fingerprint=fitted.fingerprint,
            data=request.data,
            run_id=run_id,
            carried=carried is not None or bool(kept),
            recipe={
                **request.recipe,
                "holdout": request.holdout,
                "refit": request.refit,
                "missing": request.missing,
                "group": None if request.data.timed else fitted.tasks[0].name,
            },
            notes=[*fitted.notes, *about_kept],
        )
        published = Publication(
            trained, registry, settings, display, champion, request.promote, request.native,
            request.confirm,
        ).publish()  # fmt: skip
    return trained, published, about_kept


def _fitted(
    tasks: Sequence[Task], display: ProgressDisplay, jobs: int | None
) -> tuple[list[Result], list[str]]:
    """Return the results of the fitted groups in order, and a note on each group that failed.

    Raises
    ------
    TrainingError
        No group could be fitted.
    """
    found, notes = [], []
    problem: TrainingError | None = None
    for result in run_tasks(tasks, display, jobs):
        if result.error is None:
            found.append(result)
            continue
        where = f"group {result.name!r}: " if len(tasks) > 1 else ""
        error = TrainingError(where + result.error.message, field=result.error.field)
        problem = problem or error
        notes.append(f"{error.message}: left out")
    if problem is not None and not found:
        raise problem
    return found, notes


def _unmeasured(data: TrainingData) -> list[str]:
    """Return a note on the columns in which no stream has a value."""
    known = zip(data.feature_names, data.measured(), strict=True)
    gone = [name for name, measured in known if not measured]
    return [f"{', '.join(gone)}: nothing is measured: not used"] if gone else []


def _measured(results: Sequence[Result], timed: bool, policy: ScoringPolicy) -> dict[str, Measures]:
    out = {}
    for result in results:
        if result.scored and result.model_set is not None:
            interval = result.model_set.preprocessing.interval if timed else None
            out[result.name] = measure(result.scored, policy, interval)
    return out
