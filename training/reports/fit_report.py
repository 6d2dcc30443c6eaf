"""Print the tables of a training."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from config import Settings
from models.registry.base import CHAMPION
from models.scoring.policy import ScoringPolicy
from training.cli.common import listed
from training.cli.printed_table import new_table
from training.evaluation.alarms_of_faults import AlarmsOfFaults
from training.evaluation.incident_measures import incidents_line
from training.evaluation.summary import Measures
from training.fitting.injection_trials import MOVES, TRIALS, trial_name
from training.fitting.parallel_fit import Result
from training.fitting.power import Power

if TYPE_CHECKING:  # a Spark worker imports this module and has no pandas
    from training.publishing.publish import Published


def number(value: float | None, form: str = ".4g") -> str:
    """Format a figure for a cell; a dash if there is none."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def print_fit(
    console: Console,
    policy: ScoringPolicy,
    results: Sequence[Result],
    measured: Mapping[str, Measures],
) -> None:
    """Print one row per group on its fit, and one on its held-out readings.

    Parameters
    ----------
    console
        Console to print on.
    policy
        Gives the budgets at criticality medium.
    results
        One per group.
    measured : {group: measures}
        Groups with held-out readings.
    """
    texts = ("group", "detectors", "drift")
    columns = ("group", "streams", "readings", "features", "detectors", "drift", "seconds")
    table = new_table("Trained", columns, texts)
    for result in results:
        if result.model_set is None or result.report is None:
            continue
        table.add_row(
            result.name,
            str(result.report.streams),
            f"{result.report.rows:,}",
            str(len(result.model_set.feature_names)),
            ", ".join(result.model_set.names),
            result.report.drift_mode,
            f"{result.report.seconds:.1f}",
        )
    console.print(table)
    if any(result.twin is not None for result in results):
        console.print("The following figures are of a fit without the newest readings; the model"
                      " sets that serve were then fitted on all readings.")  # fmt: skip
    if measured:
        _print_held_out(console, measured)
        budget = policy.budgets["medium"]
        for group, found in list(measured.items())[:_MAX_VERDICTS]:
            console.print(f"{group}: {verdict(found.alarms, budget, found.of_faults)}")
        timed = [r for r in results if r.scored and r.model_set and r.model_set.bursts]
        for result in timed[:_MAX_VERDICTS]:
            line = incidents_line(result.scored, policy.incident_budgets["medium"])
            console.print(f"{result.name}: {line}")


def verdict(
    alarms: Mapping[str, float], budget: float, of_faults: AlarmsOfFaults | None = None
) -> str:
    """Describe the held-out alarm rate against the budget, or that there are too few readings.

    Parameters
    ----------
    alarms
        Alarms of normal readings, see :func:`training.evaluation.measures.alarm_rate`.
    budget
        Alarms per normal reading.
    of_faults
        How the alarms lie to the labelled faults, if there are any.
    """
    expected = budget * alarms["readings"]
    achieved = f"{number(1000 * alarms['rate'])} per 1,000 against a budget of {1000 * budget:g}"
    if of_faults is not None:
        achieved = f"{achieved}, outside of the labelled faults; {of_faults}"
        if alarms["low"] > budget and 2 * of_faults.elsewhere < alarms["rate"] * alarms["readings"]:
            return f"{achieved}: most only outlast a fault that was found"
    if alarms["low"] > budget:
        return (
            f"{achieved}: more than chance explains. Either the training part lacks some of the"
            " normal operation (a daily cycle, a season, drift): train on more; or the held-out"
            " part has unlabelled faults"
        )
    if expected < _MIN_EXPECTED:
        return (
            f"{achieved}: too few readings to judge, the budget allows {expected:.2g} alarms in"
            f" {int(alarms['readings']):,}; {_MIN_EXPECTED / budget:,.0f} normal readings suffice"
        )
    if alarms["high"] < budget:
        return f"{achieved}: less than allowed"
    return f"{achieved}: as allowed"


_MIN_EXPECTED = 10  # fewest expected alarms for their number to be informative
_MAX_VERDICTS = 6  # groups with a verdict of their own
_MAX_FEATURES = 40  # rows in the table of injected faults
_MAX_NAMED = 20  # features named in a remark


def _print_held_out(console: Console, measured: Mapping[str, Measures]) -> None:
    labelled = any(found.confusion is not None for found in measured.values())
    counted = "normal readings" if labelled else "readings"
    columns = ("group", counted, "alarms per 1,000", "90 % interval", "faults found", "F1",
               "missed", "ROC")  # fmt: skip
    table = new_table("On held-out readings, at criticality medium", columns, left=columns[:1])
    for group, found in measured.items():
        alarms, labels = found.alarms, found.confusion or {}
        seen = sum(event["detected"] for event in found.events)
        table.add_row(
            group,
            f"{int(alarms['readings']):,}",
            number(1000 * alarms["rate"]),
            f"{number(1000 * alarms['low'])} .. {number(1000 * alarms['high'])}",
            f"{seen} of {len(found.events)}" if found.events else "-",
            number(labels.get("f1"), ".3f"),
            number(labels.get("missed_alarm_rate"), ".1%"),
            number((found.curves or {}).get("roc_auc"), ".3f"),
        )
    console.print(table)


def print_power(console: Console, results: Sequence[Result]) -> None:
    """Print the detected share of injected faults by feature, at criticality medium."""
    found = [(r.name, r.power) for r in results if r.power is not None]
    if not found:
        return
    still = any(trial_name(MOVES) in trials for _, p in found for trials in p.shares.values())
    columns = (*TRIALS, *([MOVES] if still else []))
    table = new_table(
        "Injected faults detected, at criticality medium (fewest first)",
        ["group", "feature", *map(trial_name, columns)], left=("group", "feature"),
    )  # fmt: skip
    rows = [
        (power.watch(feature), group, feature, power)
        for group, power in found
        for feature in power.shares
    ]
    rows.sort(key=lambda row: row[0])
    for _, group, feature, power in rows[:_MAX_FEATURES]:
        shares = [power.share(feature, trial) for trial in columns]
        table.add_row(group, feature, *(number(share, ".0%") for share in shares))
    console.print(table)
    if len(rows) > _MAX_FEATURES:
        console.print(f"... and {len(rows) - _MAX_FEATURES} more features: see power.csv in MLflow")
    modes = {r.name for r in results if r.model_set and r.model_set.preprocessing.conditions}
    for group, power in found:
        console.print(watched(group, power))
        if group in modes and 2 * len(power.not_watched) >= len(power.shares):
            console.print(f"{group}: {SWITCHING}")


#: What to try if a machine with operating conditions is hardly watched.
SWITCHING = (
    "the machine changes between operating conditions, and such changes may look worse than these"
    " faults. If it is off in one of them, say so: --schedules FILE with an off condition, such as"
    ' feature = "current", operator = "<", value = 1.0, run_up_s = 20. These readings are then left'
    " out, here and, once the Plant screen has the condition too, live"
)


def watched(group: str, power: Power) -> str:
    """Describe which features of a group are not watched, in a sentence."""
    unused, lost = power.not_used, power.lost
    blind = [f for f in power.not_watched if f not in lost and f not in unused]
    remarks = []
    if blind:
        remarks.append(
            f"{listed(blind, _MAX_NAMED)}: NOT watched (fewer than half of the steps of 6 sd, or of"
            " the movements of a constant feature, are detected)"
        )
    for why in dict.fromkeys(lost.values()):
        names = listed([name for name in lost if lost[name] == why], _MAX_NAMED)
        remarks.append(
            f"{names}: NOT watched by the model that serves, since it was fitted on the newest"
            f" readings too ({why})"
        )
    if unused:
        remarks.append(f"{listed(unused, _MAX_NAMED)}: NOT watched (not used by any detector)")
    if power.still:
        remarks.append(
            f"{listed(power.still, _MAX_NAMED)}: not measured, constant in the held-out readings"
        )
    return f"{group}: " + ("; ".join(remarks) or "every feature is watched")


def print_budgets(
    console: Console, policy: ScoringPolicy, measured: Mapping[str, Measures]
) -> None:
    """Print the expected false events per stream and month at each budget.

    Parameters
    ----------
    console
        Console to print on.
    policy
        Gives the budgets.
    measured : {group: measures}
        At most six groups are shown.
    """
    groups = [group for group, found in measured.items() if found.per_month]
    if not groups:
        return
    table = new_table(
        "False events to expect, per stream and month (30 days)",
        ["asset criticality", "budget per reading", "threshold", *groups[:6]],
        left=["asset criticality"],
    )
    for name, budget in policy.budgets.items():
        cells = [number(measured[group].per_month[name], ".3g") for group in groups[:6]]
        table.add_row(name, f"{budget:.2g}", f"{policy.threshold(name):.2f}", *cells)
    console.print(table)
    if len(groups) > 6:
        console.print(f"... and {len(groups) - 6} more groups: see the table in MLflow")


def print_published(console: Console, settings: Settings, bundle: str, done: Published) -> None:
    """Print where a bundle was published, and how to serve it.

    Parameters
    ----------
    console
        Console to print on.
    settings
        Say whether the registry is MLflow, and where.
    bundle
        Version of its content.
    done
        Result of the publication.
    """
    where = "MLflow" if settings.mlflow_enabled else "the file registry"
    console.print(f"bundle {bundle}: version {done.version} in {where}, {done.message}")
    folder = settings.var_dir.absolute()
    if not settings.mlflow_enabled:
        console.print(f"stored in {folder / 'registry'}")
    elif settings.mlflow_tracking_uri is None:
        console.print(f"stored in {folder / 'mlflow'}")
    if done.stored is not None:
        kept = "imported into" if done.stored.fresh else "already in"
        console.print(f"{kept} the Bento store as {done.stored.tag} ({done.stored.path})")
    console.print(f"to serve it: {_serving(settings, folder, done)}")


def _serving(settings: Settings, folder: Path, done: Published) -> str:
    """Return the commands that serve a published bundle."""
    given, experiment = f"VAR_DIR={shlex.quote(str(folder))}", settings.mlflow_experiment_name
    own, same = f"VAR_DIR={shlex.quote(str(folder / 'NAME'))}", ""
    if not settings.mlflow_enabled:
        given += " MLFLOW_ENABLED=false"
    elif experiment != Settings.model_fields["mlflow_experiment_name"].default:
        given += f" MLFLOW_EXPERIMENT_NAME={shlex.quote(experiment)}"
    if settings.mlflow_enabled and settings.mlflow_tracking_uri is not None:
        same = " (with the MLFLOW_TRACKING_URI of this fit)"
        own += " MLFLOW_EXPERIMENT_NAME=NAME"  # else the server has one champion for both
    serve = f"{given} bentoml serve{same}"
    if done.alias == CHAMPION:
        return serve
    return (
        f"{given} python -m training.promote --version {done.version} --force, then {serve}. To"
        " keep the champion, if it is of another plant or of the demo, repeat the fit with"
        f" {own} and serve with the same"
    )


def print_versions(console: Console, versions: Sequence[Mapping[str, Any]]) -> None:
    """Print the registry's versions, newest first."""
    columns = ("version", "alias", "created", "groups", "trained on", "run")
    table = new_table("Bundles", columns, left=columns)
    for about in versions:
        tags = about["tags"]
        table.add_row(
            about["version"],
            ", ".join(about["aliases"]),
            f"{datetime.fromisoformat(about['created_at']).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            tags.get("groups", "-"),
            tags.get("source", "-"),
            (about.get("run_id") or "-")[:8],
        )
    console.print(table)
