"""Compare recent readings with the champion's training distributions.

``python -m training.drift`` takes the newest stored readings, or a file's. It compares each feature
and each score (``score/final_score``, ``score/isolation_forest`` ...) with the distributions stored
in the bundle, and names those that moved.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from config import Settings
from datasets import Stream, add_format_arguments, format_of
from errors import NotFound, TrainingError, UnknownGroup
from models.bundles.bundle import Bundle
from models.feature_drift import SCORE, compare, recent_columns
from models.registry.base import CHAMPION
from models.registry.promotion import load_version
from runtime import command_parser, run_command
from training.cli.common import check_file_given, consoles, entry, registry_of
from training.cli.fit_arguments import count
from training.cli.printed_table import new_table
from training.data.groups import members_of
from training.data.sources import TrainingData, load_data

#: Returns a group's recent values of each feature and score.
Recent = Callable[[str], dict[str, list[float]]]


EPILOG = """\
examples:
  python -m training.drift                      the newest 5000 stored readings of each group
  python -m training.drift --last 1000 --group vibration
  python -m training.drift --data new.csv --json
"""


def parser() -> argparse.ArgumentParser:
    """Build the command-line parser."""
    made = command_parser(
        "training.drift",
        "Compare recent readings with the champion's training distributions by the"
        " population stability index, feature by feature and score by score: below 0.1 stable,"
        " above 0.25 shifted. A file has no scores, so only its features are compared.",
        EPILOG,
    )
    made.add_argument("--last", type=count, default=5000, metavar="N",
                      help="newest stored readings of each group (5000)")  # fmt: skip
    made.add_argument("--data", metavar="FILE|GLOB", help="compare the readings of a file instead")
    made.add_argument("--group", help="compare only this group")
    made.add_argument("--json", action="store_true", help="print JSON")
    add_format_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return entry(_run, parser().parse_args(argv))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    form = format_of(arguments)
    check_file_given(arguments.data, form)
    out, _ = consoles()
    registry = registry_of(settings)
    version = registry.alias(CHAMPION)
    if version is None:
        raise NotFound("there is no champion yet: run python -m training.fit")
    bundle = load_version(registry, version, settings.var_dir / "bundles")
    if arguments.group is not None and arguments.group not in bundle.groups:
        raise UnknownGroup(f"the champion has no group {arguments.group!r}")
    groups = [arguments.group] if arguments.group else bundle.groups
    if arguments.data is not None:
        data = load_data(arguments.data, form=form)
        if not data.timed and len(groups) > 1:
            raise TrainingError(
                f"--group: {arguments.data} names no assets, so --group must say which group it"
                f" belongs to: {', '.join(groups)[:300]}",
                field="group",
            )
        found = compared(bundle, groups, of_file(bundle, data, arguments.last))
        reasons = {group: _why_not(bundle, data, group) for group in groups if not found[group]}
    else:
        reasons = {}
        found = _stored(settings, bundle, groups, arguments.last)
    if arguments.json:
        out.print_json(json.dumps({"bundle_version": bundle.version, "groups": found}))
    else:
        show(out, found, reasons)
    return 0


def compared(
    bundle: Bundle, groups: Sequence[str], recent: Recent
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compare each group and feature by :func:`models.feature_drift.compare`.

    Parameters
    ----------
    bundle, groups
        The bundle, and those of its groups to compare.
    recent
        Returns a group's recent values, by feature and score.
    """
    return {group: compare(bundle.model_set(group).profile, recent(group)) for group in groups}


def moved(features: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the features that moved, furthest first."""
    names = [name for name, about in features.items() if about["state"] in ("moved", "shifted")]
    return sorted(names, key=lambda name: -features[name]["psi"])


def of_file(bundle: Bundle, data: TrainingData, last: int) -> Recent:
    """Return the newest ``last`` readings of a file, by group.

    Parameters
    ----------
    bundle
        Its rules say which group a stream is in.
    data
        The file's readings.
    last
        Maximum number of readings per group.
    """

    def recent(group: str) -> dict[str, list[float]]:
        streams = _streams_of(bundle, data, group)
        if not streams:
            return {}
        times = np.concatenate([stream.timestamps for stream in streams])
        newest = np.argsort(times, kind="stable")[-last:]
        chosen = np.concatenate([stream.values for stream in streams])[newest]
        return {
            name: column[~np.isnan(column)].tolist()
            for name, column in zip(data.feature_names, chosen.T, strict=True)
        }

    return recent


def _streams_of(bundle: Bundle, data: TrainingData, group: str) -> list[Stream]:
    """Return a group's streams; a bare matrix has no ids, so it belongs to whatever is asked."""
    if not data.timed:
        return list(data.streams)
    return [data.streams[i] for i in members_of(data, bundle, group)]


def _why_not(bundle: Bundle, data: TrainingData, group: str) -> str:
    """Say why nothing of a file can be compared with a group."""
    if not _streams_of(bundle, data, group):
        return f"no stream of {data.source} belongs to it by the champion's rules"
    names = [n for n in bundle.model_set(group).profile if not n.startswith(SCORE)]
    if set(names) & set(data.feature_names):
        return f"{data.source} holds no values of its features"
    return f"{data.source} has none of its features: {', '.join(names)[:300]}"


def _stored(
    settings: Settings, bundle: Bundle, groups: Sequence[str], last: int
) -> dict[str, dict[str, dict[str, Any]]]:
    from db.queries.readings import recent_readings
    from db.session import opened, transaction

    with opened(settings) as engine:

        def recent(group: str) -> dict[str, list[float]]:
            with transaction(engine) as connection:
                return recent_columns(recent_readings(connection, last, group))

        return compared(bundle, groups, recent)


def show(
    out: Console,
    found: Mapping[str, Mapping[str, Mapping[str, Any]]],
    reasons: Mapping[str, str],
) -> None:
    """Print one table per group, largest PSI first, and a sentence with the names that moved.

    Parameters
    ----------
    out
        Where to print.
    found
        What :func:`compared` returned.
    reasons
        Why a group has no features to compare; absent: no readings are stored.
    """
    for group, features in found.items():
        if not features:
            why = reasons.get(group, "no readings of it are stored")
            out.print(f"{group}: nothing to compare: {why}")
            continue
        texts = ("feature or score", "state")
        columns = (texts[0], "PSI", "expected by chance", texts[1], "readings", "outside")
        table = new_table(f"Drift of group {group}", columns, texts)
        for name in sorted(features, key=lambda name: -features[name]["psi"]):
            about = features[name]
            table.add_row(
                name, f"{about['psi']:.3f}", f"{about['noise']:.3f}", about["state"],
                f"{about['n']:,}", f"{about['outside']:.1%}",
            )  # fmt: skip
        out.print(table)
        names = moved(features)
        out.print(f"{group}: moved: {', '.join(names)}" if names else f"{group}: nothing moved")


if __name__ == "__main__":
    run_command(main)
