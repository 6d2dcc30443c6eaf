"""Assign streams to groups, and write the rules that a bundle stores for it.

A groups file is TOML, one table per group; the first match decides::

    [[group]]
    name = "vibration"
    sensor_id = "VIB*"          # patterns with * and ?; any id if absent

    [[group]]
    name = "rms_only"
    feature = "rms"             # streams that send only this feature
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path

import numpy as np

from datasets import key_of
from errors import TrainingError, UnknownGroup
from models.bundles.bundle import DEFAULT, Bundle
from models.bundles.rules import Rule, RuleIndex
from training.cli.text_files import read_document
from training.data.sources import TrainingData

NO_SENSOR = "no_sensor"


@dataclass(slots=True)
class Grouping:
    """Streams by group, in order; the bundle stores ``rules``."""

    groups: dict[str, TrainingData]
    rules: list[Rule] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def group_streams(
    data: TrainingData, by: str | None = None, groups_file: Path | None = None
) -> Grouping:
    """Assign streams to groups; without ``by`` and ``groups_file``, all to ``default``.

    Parameters
    ----------
    data : TrainingData
    by : str, optional
        ``asset_id``, ``sensor_id``, or the column in ``data.column``.
    groups_file : Path, optional
        Patterns, instead of ``by``.

    Raises
    ------
    TrainingError
        The file is invalid, or no stream matches a group.
    """
    if by is not None and groups_file is not None:
        raise TrainingError("give --group-by or --groups, not both")
    if groups_file is not None:
        return by_rules(data, read_rules(groups_file))
    if by is None:
        whole = [i for i in range(len(data.streams)) if data.feature_of(i) is None]
        if not whole:
            raise TrainingError(
                "all streams send a single feature: name their groups in a --groups file"
            )
        notes = _left_out(len(data.streams) - len(whole), "send a single feature")
        return Grouping({DEFAULT: pick(data, whole)}, [], notes)
    return by_rules(data, _rules_by(data, by))


def by_rules(data: TrainingData, rules: Sequence[Rule], only: str | None = None) -> Grouping:
    """Assign streams by rules; streams that match none are left out, with a note.

    Parameters
    ----------
    data
        The streams.
    rules
        The first match decides.
    only
        A single group to train, which must have streams; None: all groups.
    """
    found: dict[str, list[int]] = {rule.group: [] for rule in rules}
    stray, index = 0, RuleIndex(rules)
    for i, stream in enumerate(data.streams):
        feature = data.feature_of(i)
        rule = index.find(stream.asset_id, stream.sensor_id, feature)
        if rule is None:
            stray += 1
        else:
            found[rule.group].append(i)
    absent = [group for group, members in found.items() if not members]
    if absent and (only in absent or len(absent) == len(found)):
        group = only if only in absent else absent[0]
        raise TrainingError(f"group {group!r}: no stream of the data belongs to it")
    groups = {g: pick(data, m) for g, m in found.items() if m}
    notes = _left_out(stray, "match no group")
    notes += [f"group {group!r}: no stream of the data belongs to it" for group in absent]
    return Grouping(groups, list(rules), notes)


def for_group(data: TrainingData, bundle: Bundle, group: str) -> Grouping:
    """Return the streams of one group of an existing bundle, by that bundle's rules.

    A bare matrix has no ids, so it belongs to the named group.

    Parameters
    ----------
    data
        The streams.
    bundle
        Gives the rules.
    group
        Name of the group.

    Raises
    ------
    TrainingError
        The bundle has no such group, or no stream belongs to it.
    """
    if group not in bundle.groups:
        raise TrainingError(
            f"the champion has no group {group!r}; it has {', '.join(bundle.groups)[:300]}",
            field="group",
        )
    if not data.timed:
        return Grouping({group: data}, list(bundle.rules))
    members = members_of(data, bundle, group)
    if not members:
        raise TrainingError(f"group {group!r}: no stream of the data belongs to it", field="group")
    return Grouping({group: pick(data, members)}, list(bundle.rules))


def members_of(data: TrainingData, bundle: Bundle, group: str) -> list[int]:
    """Return the indices of the streams that a bundle's rules assign to a group.

    Parameters
    ----------
    data
        The streams; those without any group are ignored.
    bundle
        Gives the rules.
    group
        Name of the group.
    """
    members = []
    for i, stream in enumerate(data.streams):
        with suppress(UnknownGroup):
            if bundle.group_for(stream.asset_id, stream.sensor_id, data.feature_of(i)) == group:
                members.append(i)
    return members


def pick(data: TrainingData, members: Sequence[int]) -> TrainingData:
    """Return only these streams, without the features that none of them has."""
    part = data.subset(members)
    here = part.measured()
    if here.all() or not here.any():
        return part
    return part.with_features([data.feature_names[j] for j in np.flatnonzero(here)])


def read_rules(path: Path) -> list[Rule]:
    """Read the rules of a groups file.

    Raises
    ------
    TrainingError
        Names the file and its defect.
    """
    content = read_document(path)
    tables = content.get("group") if isinstance(content, dict) else None
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise TrainingError(f"{path}: expected [[group]] tables with a name")
    rules = []
    for table in tables:
        unknown = set(table) - {"name", "asset_id", "sensor_id", "feature"}
        name = table.get("name")
        if unknown or not isinstance(name, str) or not name:
            wrong = f"unknown key {sorted(unknown)[0]!r}" if unknown else "a group without a name"
            raise TrainingError(f"{path}: {wrong}")
        feature = table.get("feature")
        if feature is not None and not isinstance(feature, str):
            raise TrainingError(f"{path}: group {name!r}: feature: {feature!r} is no name")
        rules.append(
            Rule(
                name,
                str(table.get("asset_id", "*")),
                str(table.get("sensor_id", "*")),
                feature,
            )
        )
    return rules


def _rules_by(data: TrainingData, by: str) -> list[Rule]:
    rules: dict[Rule, None] = {}
    for i, stream in enumerate(data.streams):
        if data.feature_of(i) is not None:
            continue
        asset, sensor = escape(stream.asset_id), escape(stream.sensor_id or "")
        if by == "asset_id":
            rule = Rule(stream.asset_id, asset_id=asset)
        elif by == "sensor_id":
            rule = Rule(stream.sensor_id or NO_SENSOR, sensor_id=sensor)
        elif data.column is not None and key_of(stream) in data.column:
            rule = Rule(data.column[key_of(stream)], asset, sensor)
        else:
            raise TrainingError(f"the data has no column {by!r} to group by", field=by)
        rules[rule] = None
    return sorted(rules, key=lambda rule: (rule.group, rule.asset_id, rule.sensor_id))


def _left_out(number: int, why: str) -> list[str]:
    return [f"{number} streams {why} and were left out"] if number else []
