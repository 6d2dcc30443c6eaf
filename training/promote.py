"""Promote, roll back and list bundles: ``python -m training.promote --help``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from config import Settings
from datasets import add_format_arguments, format_of
from errors import InputError, NotFound, TrainingError, UnknownGroup
from models.bundles.bundle import Bundle
from models.fitting.options import FitOptions
from models.registry.base import CHALLENGER, CHAMPION, Registry
from models.registry.bento_store import import_alias
from models.registry.promotion import VERDICT_TAG, load_version, promote, roll_back
from runtime import command_parser, run_command
from training.cli.common import check_file_given, consoles, entry, policy_of, registry_of
from training.cli.fit_arguments import share
from training.cli.printed_table import new_table
from training.cli.progress import ProgressDisplay
from training.data.former import load_recipe
from training.data.groups import by_rules, group_streams
from training.data.schedule_file import read_schedules
from training.data.sources import TrainingData
from training.group_tasks import tasks_of
from training.publishing.comparison import Column, Comparison, compare, unseen
from training.publishing.publish import held_out
from training.reports.fit_report import number, print_versions
from training.request import Request
from training.unregistered import register_kept

EXIT_NOT_PROMOTED = 2


EPILOG = """\
examples:
  python -m training.promote --list                every version, who is champion and challenger
  python -m training.promote                       compare, promote if it is not worse
  python -m training.promote --data recent.csv     compare on these readings
  python -m training.promote --version 3 --force   that one, without comparing
  python -m training.promote --rollback            back to the champion before
  python -m training.promote --register FOLDER     a bundle that a training had to keep
"""


def parser() -> argparse.ArgumentParser:
    """Build the command-line parser."""
    made = command_parser(
        "training.promote",
        "Compare the challenger with the champion on readings newer than all that either was"
        " fitted on, through the service's scoring code, and promote it if it is not worse."
        f" Exit code {EXIT_NOT_PROMOTED} means that it was not promoted.",
        EPILOG,
    )
    what = made.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list the bundles and exit")
    what.add_argument("--rollback", action="store_true", help="go back to the previous champion")
    what.add_argument("--force", action="store_true", help="promote without comparing")
    what.add_argument(
        "--register", type=Path, metavar="FOLDER",
        help="register the bundle that a training kept in this folder when MLflow failed, and exit",
    )  # fmt: skip
    made.add_argument("--version", help="the version to promote (the challenger)")
    made.add_argument(
        "--data", metavar="FILE|GLOB|simulated|postgresql",
        help="compare on these readings (the challenger's training data)",
    )  # fmt: skip
    made.add_argument(
        "--holdout", type=share, metavar="SHARE",
        help="compare only on the newest share of them (all that are newer than both fits)",
    )  # fmt: skip
    add_format_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return entry(_run, parser().parse_args(argv))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    _check_used(arguments)
    out, err = consoles()
    registry = registry_of(settings)
    if arguments.list:
        print_versions(out, registry.versions())
        return 0
    if arguments.rollback:
        left, back = roll_back(registry)
        out.print(f"version {back} is champion again, version {left} no longer")
        return _stored(settings, registry, out)
    if arguments.register is not None:
        made, alias = register_kept(arguments.register, registry, policy_of(settings))
        then = "" if alias == CHAMPION else ": python -m training.promote compares it"
        out.print(f"registered as version {made}, {alias}{then}")
        return _stored(settings, registry, out)
    version = arguments.version or registry.alias(CHALLENGER)
    if version is None:
        raise NotFound("there is no challenger: train one, or name a version with --version")
    champion = registry.alias(CHAMPION)
    if champion == version:
        out.print(f"version {version} is the champion already")
        return 0
    why = "forced"
    if champion is not None and not arguments.force:
        found = _compared(settings, arguments, registry, champion, version, err)
        print_comparison(out, found, champion, version)
        if not found.better:
            verdict = "worse" if found.comparable else "not comparable"
            out.print(f"not promoted, {verdict}: {found.reason}; --force promotes it all the same")
            return EXIT_NOT_PROMOTED
        why = found.reason
    promote(registry, version, why)
    out.print(f"version {version} is champion" + (f", replacing {champion}" if champion else ""))
    return _stored(settings, registry, out)


def _check_used(arguments: argparse.Namespace) -> None:
    """Reject options that would be ignored.

    Raises
    ------
    InputError
        Names the option.
    """
    form = format_of(arguments)
    given = [f"--{n}" for n in ("version", "data", "holdout") if getattr(arguments, n) is not None]
    given += form.options().values()
    for other in ("list", "rollback", "register", "force"):
        ignored = given if other != "force" else [one for one in given if one != "--version"]
        if getattr(arguments, other) and ignored:
            raise InputError(f"{ignored[0]} means nothing with --{other}: leave it out")
    check_file_given(arguments.data, form)


def _stored(settings: Settings, registry: Registry, out: Console) -> int:
    kept = import_alias(registry, CHAMPION, settings.var_dir / "bundles")
    out.print(f"{'imported into' if kept.fresh else 'already in'} the Bento store as {kept.tag}")
    return 0


def _compared(
    settings: Settings,
    arguments: argparse.Namespace,
    registry: Registry,
    champion: str,
    version: str,
    err: Console,
) -> Comparison:
    cache = settings.var_dir / "bundles"
    bundles = [load_version(registry, v, cache) for v in (champion, version)]
    tags: dict[str, str] = next(
        (v["tags"] for v in registry.versions() if v["version"] == version), {}
    )
    recipe: dict[str, Any] = json.loads(tags.get("recipe", "{}"))
    if arguments.data is not None:
        recipe |= {"data": arguments.data, "format": format_of(arguments).to_dict()}
    if arguments.holdout is not None:
        recipe["holdout"] = arguments.holdout
    if not recipe.get("data"):
        raise TrainingError(f"it is not known what version {version} was trained on: give --data")
    data, skip = _recent(settings, recipe, bundles[1], arguments.holdout is None)
    group = None if data.timed else recipe.get("group") or bundles[1].default_group
    try:
        data, skip, why = unseen(data, skip, bundles, group)
    except UnknownGroup as error:
        why = f"one of them does not cover these streams: {error.message}"
    else:
        why = why and f"{why}; give newer ones with --data"
    if why:
        recorded = f"; when it was trained: {tags[VERDICT_TAG]}" if VERDICT_TAG in tags else ""
        columns = [Column(bundle.version) for bundle in bundles]
        return Comparison(columns[0], columns[1], 0.0, False, False, why + recorded)
    with ProgressDisplay(err) as display:
        return compare(
            bundles[0], bundles[1], data, skip, policy_of(settings), display.part(""), group
        )


def _recent(
    settings: Settings, recipe: dict[str, Any], challenger: Bundle, whole: bool
) -> tuple[TrainingData, list[int]]:
    """Return the streams to compare on, prepared as for a fit, and their numbers of past readings.

    With ``whole`` no reading is past; otherwise all but the newest share are.
    """
    data = load_recipe(recipe, settings)
    rules = challenger.rules
    grouping = by_rules(data, rules, only="") if rules and data.timed else group_streams(data)
    path = Path(recipe["schedules"]) if recipe.get("schedules") else None
    request = Request(
        data, FitOptions(), missing=recipe.get("missing", "drop"),
        holdout=recipe.get("holdout", 0.2),
        suppression=read_schedules(path).training,
    )  # fmt: skip
    # a group that is too small was not trained on either
    tasks, _ = tasks_of(request, grouping, policy_of(settings), None)
    return held_out(tasks, data, whole)


def print_comparison(out: Console, found: Comparison, champion: str, version: str) -> None:
    """Print both columns side by side, if they are comparable.

    Parameters
    ----------
    out
        Console to print on.
    found
        The comparison.
    champion, version
        The versions, for the column titles.
    """
    if not found.comparable:
        return
    names = ("", f"champion (version {champion})", f"challenger (version {version})")
    table = new_table("On held-out readings, at criticality medium", names, left=names[:1])
    columns = (found.champion, found.challenger)
    table.add_row("normal readings", *(f"{int(c.alarms['readings']):,}" for c in columns))
    table.add_row(
        f"alarm rate (budget {found.budget:.2g})", *(number(c.alarms["rate"]) for c in columns)
    )
    table.add_row("  90 % interval", *(_interval(c) for c in columns))
    if found.champion.labels is not None and found.champion.events[1]:
        table.add_row(
            "labelled faults found", *(f"{c.events[0]} of {c.events[1]}" for c in columns)
        )
        table.add_row("F1", *(number((c.labels or {}).get("f1"), ".3f") for c in columns))
        table.add_row(
            "missed readings",
            *(number((c.labels or {}).get("missed_alarm_rate"), ".1%") for c in columns),
        )
    table.add_row(
        "injected faults found", *(f"{c.injected[0]} of {c.injected[1]}" for c in columns)
    )
    out.print(table)


def _interval(column: Column) -> str:
    return f"{number(column.alarms['low'])} .. {number(column.alarms['high'])}"


if __name__ == "__main__":
    run_command(main)
