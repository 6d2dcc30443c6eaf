"""Run a training: group streams, fit, measure, and hand over to :mod:`training.publishing`."""

from __future__ import annotations

import tempfile
from collections import ChainMap, Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from config import Settings
from errors import BundleError, TrainingError
from models.bundles.bundle import Bundle
from models.bundles.rules import Rule, RuleIndex
from models.fitting.options import FitOptions
from models.registry.base import Registry
from models.registry.promotion import Champion, load_champion
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.suppression import Suppression
from training.cli.common import policy_of, registry_of
from training.cli.progress import ProgressDisplay
from training.data.groups import Grouping, by_rules, for_group, group_streams, read_rules
from training.data.other_units import split_by_units
from training.data.own_groups import named_by_somebody
from training.data.preparation import prepare
from training.data.schedule_file import without_suppressed
from training.data.sensors import split_by_sensors
from training.data.sources import TrainingData, key_of
from training.evaluation.summary import Measures, measure
from training.fitting.bundle_builder import build_bundle
from training.fitting.parallel_fit import Result, Task, notes_of, run_tasks
from training.publishing.mlflow_tracking import Trained, begun_run
from training.publishing.publish import Publication, Published


@dataclass(slots=True)
class Request:
    """What to train and how.

    Parameters
    ----------
    data, options : training data and hyper-parameters.
    group_by, groups_file : how to group the streams; neither: one group.
    as_champion : use the champion's groups and their options (training jobs); of ``options``
        only the models count then.
    only : retrain only this group of the champion, and carry the others over.
    missing : "drop" or "refuse", see :mod:`training.data.preparation`.
    holdout : share of the newest readings to hold out for evaluation.
    refit : whether to fit again on all readings after the evaluation, for serving.
    promote : "auto", "true" or "false".
    jobs : parallel fits; as many as cores if None.
    native : also log the detectors in MLflow's native flavours.
    recipe : how to read the same data again; stored with the version for later comparisons.
    quality : data quality (:mod:`training.data.quality`), logged with the run.
    confirm : called just before an alias moves; an exception from it ends the training.
    suppression : maintenance windows and off conditions whose readings are left out.
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
    """Outcome of a training."""

    trained: Trained
    published: Published
    notes: list[str]


@dataclass(slots=True)
class Fitted:
    """Fitted model sets of a training, in the order of its groups.

    ``sets``, ``twins`` and ``results`` may be read from disk on demand.
    """

    tasks: Sequence[Task]
    results: Sequence[Result]
    sets: Mapping[str, ModelSet]
    twins: Mapping[str, ModelSet]
    measured: Mapping[str, Measures]
    fingerprint: dict[str, Any]
    rules: Sequence[Rule]


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
    grouping, carried = _grouping(request, champion.bundle, champion.problem)
    tasks, messages = tasks_of(request, grouping, policy, champion.bundle)
    fingerprint = request.data.fingerprint()
    with begun_run(registry, fingerprint, request.quality) as run_id:
        results, failed = _fitted(tasks, display, request.jobs)
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
            request, fitted, settings, registry, display, champion, run_id, carried
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
        rules, kept = _kept(fitted, champion.bundle, carried)
        others = kept if carried is None else set(carried.groups) - set(fitted.sets)
        twins = _twins(fitted.twins, champion.bundle, others)
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
            trained, registry, settings, display, champion, request.promote, request.native,
            request.confirm,
        ).publish()  # fmt: skip
    return trained, published, [f"group {g!r}: its former model set is carried over" for g in kept]


def _grouping(
    request: Request, champion: Bundle | None, problem: str | None
) -> tuple[Grouping, Bundle | None]:
    """Return the streams of each group, and the bundle whose other groups are carried over."""
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
        _check_same_rules(request.groups_file, champion)
        return _split(for_group(request.data, champion, only), fixed=True), champion
    if request.as_champion and champion is not None and champion.rules:
        return _split(by_rules(request.data, champion.rules)), None
    return _split(group_streams(request.data, request.group_by, request.groups_file)), None


def _check_same_rules(groups_file: Path | None, champion: Bundle) -> None:
    """Reject a groups file that differs from the champion's rules, by which one group is retrained.

    Groups that only one of them has do not count: the champion lacks those that could not be
    trained, and has those of streams that did not fit theirs.
    """
    if groups_file is None:
        return
    given = read_rules(groups_file)
    mine = [rule for rule in given if rule.group in champion.groups]
    theirs = [rule for rule in champion.rules if rule.group in {one.group for one in given}]
    if mine != theirs:
        raise TrainingError(
            f"--groups: {groups_file} differs from the rules of the champion, by which --only"
            " retrains a group: train all groups by it, or leave it out",
            field="groups",
        )


def _split(grouping: Grouping, *, fixed: bool = False) -> Grouping:
    """Move streams that do not fit their group to groups of their own."""
    named = named_by_somebody(grouping.rules)
    return split_by_units(split_by_sensors(grouping, fixed=fixed), fixed=fixed, named=named)


def _kept(
    fitted: Fitted, champion: Bundle | None, carried: Bundle | None
) -> tuple[list[Rule], dict[str, ModelSet]]:
    """Return the rules of the new bundle, and the champion's model sets that it keeps.

    A group that could not be trained, or has no streams any more, keeps its former model set, but
    not for streams that were now fitted in another group. This requires that the champion has the
    same grouping: at least one of its rules is among the new.
    """
    rules, sets = list(fitted.rules), fitted.sets
    if carried is not None:  # a single group was trained; ``carried`` provides all others
        return rules, {}
    kept: dict[str, ModelSet] = {}
    if champion is not None and (set(champion.rules) & set(rules) or not (rules or champion.rules)):
        known = {rule.group for rule in rules}
        gone = [rule for rule in champion.rules if rule.group not in known]
        # in front, since the last rule may match all streams
        index = RuleIndex(rules)
        rules = [rule for rule in gone if not _refitted(rule, index, fitted)] + rules
        named = {rule.group for rule in rules} or set(champion.groups)
        kept = {g: champion.model_set(g) for g in champion.groups if g in named and g not in sets}
    return [rule for rule in rules if rule.group in sets or rule.group in kept], kept


def _refitted(rule: Rule, new: RuleIndex, fitted: Fitted) -> bool:
    """Return whether a former rule matches a stream that a new model set was fitted on.

    Parameters
    ----------
    rule : of the champion.
    new : the new rules.
    fitted : the new model sets and their streams.
    """
    former = RuleIndex([rule])
    for task in fitted.tasks:
        if task.name not in fitted.sets:
            continue
        for stream in task.prepared.streams:
            ids = (stream.asset_id, stream.sensor_id, rule.feature)
            found = former.find(*ids) and new.find(*ids)
            if found and found.group == task.name:
                return True
    return False


def _twins(
    fresh: Mapping[str, ModelSet], champion: Bundle | None, carried: Collection[str]
) -> Mapping[str, ModelSet]:
    """Return the hold-out twins: the new ones, and the champion's for carried groups."""
    if not fresh or champion is None:
        return fresh
    try:
        former = champion.twin()
    except BundleError:
        return fresh
    kept = {g: former.model_set(g) for g in champion.groups if g in carried}
    return ChainMap(cast("dict[str, ModelSet]", fresh), kept)  # only read


def _options(request: Request, champion: Bundle | None, group: str) -> FitOptions:
    """Return a group's options: a retraining keeps the champion's, except for the models."""
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
        Gives the options; its data only serve to count the streams per asset.
    grouping
        The streams by group.
    policy
        Policy for scoring the held-out part.
    champion
        Bundle whose options a retraining keeps.
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
        task.single = {
            key_of(stream): feature
            for i, stream in enumerate(data.streams)
            if (feature := data.feature_of(i)) is not None
        }
        task.streams_per_asset = float(max(counts[one.asset_id] for one in data.streams))
        tasks.append(task)
    if problem is not None and not tasks:
        raise problem
    return tasks, notes


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
