"""Run a whole training: group, fit, measure; :mod:`training.publishing.publish` does the rest."""

from __future__ import annotations

import tempfile
from collections import ChainMap, Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from config import Settings
from errors import BundleError, TrainingError
from models.bundles.bundle import Bundle, Rule
from models.fitting.options import FitOptions
from models.registry.base import Registry
from models.registry.promotion import Champion, load_champion
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.suppression import Suppression
from training.cli.common import policy_of, registry_of
from training.cli.progress import ProgressDisplay
from training.data.groups import Grouping, by_rules, for_group, group_streams
from training.data.preparation import prepare
from training.data.schedule_file import without_suppressed
from training.data.sensors import split_by_sensors
from training.data.sources import TrainingData
from training.evaluation.summary import Measures, measure
from training.fitting.bundle_builder import build_bundle
from training.fitting.parallel_fit import Result, Task, notes_of, run_tasks
from training.publishing.mlflow_tracking import Trained, begun_run
from training.publishing.publish import Publication, Published


@dataclass(slots=True)
class Request:
    """Say what is to be trained, and how.

    Parameters
    ----------
    data, options : what and with which hyper-parameters.
    group_by, groups_file : how streams are dealt out; neither: one group.
    as_champion : deal them out, and fit each group, as the champion was (training jobs); of
        ``options`` only the models count then.
    only : retrain this group of the champion alone, carry the others over.
    missing : "drop" or "refuse", see :mod:`training.data.preparation`.
    holdout : share of the newest readings that is judged on.
    refit : whether what serves is fitted again on all of the readings, after that.
    promote : "auto", "true" or "false".
    jobs : fits at one time; as many as cores when absent.
    native : log the detectors in MLflow's own flavours, too.
    recipe : what reads the same data again; kept with the version for later comparisons.
    quality : what was found of the data (:mod:`training.data.quality`), logged with the run.
    confirm : called just before an alias moves; what it raises ends the training.
    suppression : maintenance windows and machine-off conditions whose readings are left out.
    """

    data: TrainingData
    options: FitOptions
    group_by: str | None = None
    groups_file: Path | None = None
    as_champion: bool = False
    only: str | None = None
    missing: str = "drop"
    holdout: float = 0.2
    refit: bool = True
    promote: str = "auto"
    jobs: int | None = None
    native: bool = True
    recipe: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] | None = None
    confirm: Callable[[], None] = lambda: None
    suppression: Suppression = field(default_factory=Suppression)


@dataclass(slots=True)
class Outcome:
    """The outcome of a training."""

    trained: Trained
    published: Published
    notes: list[str]


@dataclass(slots=True)
class Fitted:
    """What was fitted of a training, in the order of its groups.

    ``sets``, ``twins`` and ``results`` may be read from disk as they are asked for.
    """

    tasks: Sequence[Task]
    results: Sequence[Result]
    sets: Mapping[str, ModelSet]
    twins: Mapping[str, ModelSet]
    measured: Mapping[str, Measures]
    fingerprint: dict[str, Any]
    rules: Sequence[Rule]


def train(request: Request, settings: Settings, board: ProgressDisplay) -> Outcome:
    """Train, log, register, promote under the rule, import into the Bento store.

    Parameters
    ----------
    request
        What is to be trained, and how.
    settings
        Registry, policy and folders.
    board
        Where progress is shown.

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
    tasks, messages = tasks_of(request, grouping, policy, champion.bundle)
    fingerprint = request.data.fingerprint()
    with begun_run(registry, fingerprint, request.quality) as run_id:
        results, failed = _fitted(tasks, board, request.jobs)
        sets = {r.name: r.model_set for r in results if r.model_set is not None}
        fitted = Fitted(
            tasks=[task for task in tasks if task.name in sets],
            results=results,
            sets=sets,
            twins={r.name: r.twin for r in results if r.twin is not None},
            measured=_measured(results, request.data.timed, policy),
            fingerprint=fingerprint,
            rules=grouping.rules,
        )
        trained, published, kept = conclude(
            request, fitted, settings, registry, board, champion, run_id, carried
        )
    notes = [
        *request.data.notes,
        *_unmeasured(request.data),
        *([champion.problem] if champion.problem else []),
    ]
    notes += grouping.notes + messages + failed + kept
    notes += notes_of(results)
    return Outcome(trained, published, list(dict.fromkeys(notes)))


def conclude(
    request: Request,
    fitted: Fitted,
    settings: Settings,
    registry: Registry,
    board: ProgressDisplay,
    champion: Champion,
    run_id: str | None,
    carried: Bundle | None = None,
) -> tuple[Trained, Published, list[str]]:
    """Put what was fitted together as one bundle and publish it; and notes on groups carried over.

    Parameters
    ----------
    champion : as it was when the training began; ``carried`` is its bundle where one group alone
        was trained again.
    run_id : MLflow's, begun before the fit.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        rules, kept = _kept(fitted.rules, fitted.sets, champion.bundle, carried)
        twins = _twins(fitted.twins, champion.bundle, fitted.sets)
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
        )
        published = Publication(
            trained, registry, settings, board, champion, request.promote, request.native,
            request.confirm,
        ).publish()  # fmt: skip
    return trained, published, [f"group {g!r}: its former model set is carried over" for g in kept]


def _grouping(
    request: Request, champion: Bundle | None, problem: str | None
) -> tuple[Grouping, Bundle | None]:
    """Return which streams train which group, and the bundle whose other groups go on."""
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
                problem or f"there is no champion yet whose group {only!r} could be retrained",
                field="group",
            )
        return split_by_sensors(for_group(request.data, champion, only), fixed=True), champion
    if request.as_champion and champion is not None and champion.rules:
        return split_by_sensors(by_rules(request.data, champion.rules)), None
    return split_by_sensors(
        group_streams(request.data, request.group_by, request.groups_file)
    ), None


def _kept(
    new: Sequence[Rule],
    sets: Mapping[str, ModelSet],
    champion: Bundle | None,
    carried: Bundle | None,
) -> tuple[list[Rule], dict[str, ModelSet]]:
    """Return the rules of the new bundle, and the champion's model sets that go on in it.

    A group that could not be trained this time, or whose streams are gone, keeps its former model
    set, if the champion was grouped in the same way: at least one of its rules is among the new.
    """
    if carried is not None:  # one group alone was trained, all others go on
        return list(new), {}
    kept: dict[str, ModelSet] = {}
    rules = list(new)
    if champion is not None and (set(champion.rules) & set(rules) or not (rules or champion.rules)):
        missing = [group for group in champion.groups if group not in sets]
        kept = {group: champion.model_set(group) for group in missing}
        known = {rule.group for rule in rules}
        gone = [rule for rule in champion.rules if rule.group not in known]
        rules = gone + rules  # before a rule for all others
    return [rule for rule in rules if rule.group in sets or rule.group in kept], kept


def _twins(
    fresh: Mapping[str, ModelSet], champion: Bundle | None, sets: Mapping[str, ModelSet]
) -> Mapping[str, ModelSet]:
    """Return the hold-out twins: new ones, and the champion's of what is carried over."""
    if not fresh or champion is None:
        return fresh
    try:
        former = champion.twin()
    except BundleError:
        return fresh
    kept = {g: former.model_set(g) for g in champion.groups if g not in sets}
    return ChainMap(cast("dict[str, ModelSet]", fresh), kept)  # only read


def _options(request: Request, champion: Bundle | None, group: str) -> FitOptions:
    """Return a group's options: a retraining keeps the limits and policies that were once set."""
    if not request.as_champion or champion is None or group not in champion.groups:
        return request.options
    kept = FitOptions.from_dict(champion.model_set(group).options)
    return replace(kept, models=request.options.models)


def tasks_of(
    request: Request, grouping: Grouping, policy: ScoringPolicy, champion: Bundle | None
) -> tuple[list[Task], list[str]]:
    """Return one task per group that can be trained, and a note on each that cannot.

    Parameters
    ----------
    request
        Its data are not looked at but to count an asset's streams.
    grouping
        The streams by group.
    policy
        By which the held-out part is judged.
    champion
        Whose options a retraining keeps.
    """
    alone = len(grouping.groups) == 1 and request.group_by is None
    tasks, notes = [], []
    counts = Counter(stream.asset_id for stream in request.data.streams)
    problem: TrainingError | None = None
    for group, data in grouping.groups.items():
        options = _options(request, champion, group)
        data, messages = without_suppressed(data, request.suppression, group)
        notes += messages
        try:
            prepared = prepare(
                data.streams,
                data.feature_names,
                missing=request.missing,
                holdout=request.holdout,
                what="data" if alone else f"group {group!r}",
                imputed=options.imputed,
            )
        except TrainingError as error:
            problem = problem or error
            notes.append(f"{error.message}: left out")
            continue
        task = Task(group, prepared, options, policy, timed=data.timed, power=True)
        task.refit = request.refit
        task.streams_per_asset = float(max(counts[one.asset_id] for one in data.streams))
        tasks.append(task)
    if problem is not None and not tasks:
        raise problem
    return tasks, notes


def _fitted(
    tasks: Sequence[Task], board: ProgressDisplay, jobs: int | None
) -> tuple[list[Result], list[str]]:
    """Return the results of the groups that could be fitted, in order, and a note on each other.

    Raises
    ------
    TrainingError
        None could be.
    """
    found, notes = [], []
    problem: TrainingError | None = None
    for result in run_tasks(tasks, board, jobs):
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
