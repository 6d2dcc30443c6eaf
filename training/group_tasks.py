"""Turn a request into groups of streams, and each group into the task of one fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from datasets import key_of
from errors import TrainingError
from models.bundles.bundle import Bundle
from models.fitting.options import FitOptions
from models.scoring.policy import ScoringPolicy
from training.data.groups import Grouping, by_rules, for_group, group_streams, read_rules
from training.data.other_kinds import split_by_kind
from training.data.other_units import split_by_units
from training.data.own_groups import named_by_somebody
from training.data.preparation import prepare
from training.data.schedule_file import without_suppressed
from training.data.sensors import split_by_sensors
from training.fitting.parallel_fit import Task
from training.request import Request


def grouping_of(
    request: Request, champion: Bundle | None, problem: str | None
) -> tuple[Grouping, Bundle | None]:
    """Return the streams of each group, and the bundle whose other groups are carried over.

    Parameters
    ----------
    request : what to train and how to group it.
    champion : the champion's bundle; None: there is none, or it cannot be loaded.
    problem : why the champion cannot be loaded; None: it can, or there is none.

    Raises
    ------
    TrainingError
        The one group to retrain is not named, or there is no champion that has it.
    """
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
    split = split_by_units(split_by_sensors(grouping, fixed=fixed), fixed=fixed, named=named)
    return split_by_kind(split, fixed=fixed, named=named)


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
