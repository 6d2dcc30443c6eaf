"""Choose what a new bundle keeps of the champion: rules, model sets and hold-out twins."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Mapping
from typing import cast

from errors import BundleError
from models.bundles.bundle import Bundle
from models.bundles.rules import Rule, RuleIndex
from models.scoring.model_set import ModelSet
from training.fitting.fitted import Fitted


def kept_groups(
    fitted: Fitted, champion: Bundle | None, carried: Bundle | None
) -> tuple[list[Rule], dict[str, ModelSet]]:
    """Return the rules of the new bundle, and the champion's model sets that it keeps.

    A group that could not be trained, or has no streams any more, keeps its former model set, but
    not for streams that were now fitted in another group. This requires that the champion has the
    same grouping: at least one of its rules is among the new.

    Parameters
    ----------
    fitted : the new model sets and their rules.
    champion : the champion's bundle; None: there is none.
    carried : the champion's bundle if a single group was retrained; None otherwise.
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


def kept_twins(
    fresh: Mapping[str, ModelSet], champion: Bundle | None, carried: Collection[str]
) -> Mapping[str, ModelSet]:
    """Return the hold-out twins: the new ones, and the champion's for carried groups.

    Parameters
    ----------
    fresh : the new twins, by group.
    champion : the champion's bundle; None: there is none.
    carried : the groups that the champion's model sets serve on.
    """
    if not fresh or champion is None:
        return fresh
    try:
        former = champion.twin()
    except BundleError:
        return fresh
    kept = {g: former.model_set(g) for g in champion.groups if g in carried}
    return ChainMap(cast("dict[str, ModelSet]", fresh), kept)  # only read
