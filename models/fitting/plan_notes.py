"""Describe a plan's decisions in sentences, with the figures of the trials that led to them."""

from __future__ import annotations

from models.fitting.plan import FitPlan
from models.fitting.trials.swiftness import SWIFTNESSES

_BEYOND = (
    ". Where they go further than training shows, expect false alarms; more training data help"
)
_NAMED = 8  # features named in a sentence, at most


def describe(plan: FitPlan) -> list[str]:
    """Return the decisions that a plan made on the data, in sentences."""
    return [
        *plan.resting, *_repeats(plan), *_drift(plan), *describe_adaptation(plan),
        *_correlation(plan),
    ]  # fmt: skip


def _repeats(plan: FitPlan) -> list[str]:
    if not plan.options.watch_stuck:
        return []
    watched = () if plan.repeats is None else plan.repeats.watched
    names = [plan.names[j] for at, j in enumerate(plan.scales.kept) if at not in watched]
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [
        f"{', '.join(names[:_NAMED])}{more}: values repeat by themselves (rounded, at rest, or"
        " slower than the readings), so a repeated value does not show a stuck sensor"
    ]


def _drift(plan: FitPlan) -> list[str]:
    if not plan.trials:
        asked = plan.horizon if plan.drift_mode == "normal" else 0
        return [f"slow drift over up to {asked} readings is taken for normal, as asked"] * (
            asked > 0
        )
    chosen = next(t for t in plan.trials if t.horizon == plan.horizon)
    trials = (
        f"trials with fixed limits gave {_alarms(chosen.surplus)} and detected"
        f" {chosen.power:.0%} of injected steps"
    )
    if not plan.horizon:
        return [f"slow drift is not taken for normal: {trials}", *_dropped(plan)]
    none = plan.trials[0]
    return [
        f"slow drift over up to {plan.horizon} readings is taken for normal: {trials} (taking"
        f" none for normal: {none.surplus:.1f} times, {none.power:.0%})"
    ]


def _dropped(plan: FitPlan) -> list[str]:
    if plan.dropped is None or plan.following is None:
        return []
    horizon, allowed = plan.dropped
    with_it, bare = ((way.surplus[way.narrow_enough], way.shares.mean())
                     for way in (allowed, plan.following))  # fmt: skip
    return [
        f"an allowance for drift over up to {horizon} readings, for which trials with fixed limits"
        " ask, is needless where limits follow each stream: trials far from the readings fitted on"
        f" gave {_alarms(bare[0])} and detected {bare[1]:.0%} of lasting steps (with it:"
        f" {with_it[0]:.1f} times, {with_it[1]:.0%})"
    ]


def _correlation(plan: FitPlan) -> list[str]:
    if plan.steadiness is None or len(plan.scales.kept) < 2:
        return []
    if plan.shrinkage >= 1.0:
        return ["correlations of features are not used: too few readings tell them from chance"]
    share = f"{100.0 * plan.shrinkage:g}%"
    return [f"correlations of features are weakened by {share}, against overfitting"]


def describe_adaptation(plan: FitPlan) -> list[str]:
    """Return how alarm limits follow a stream, in sentences; none where levels were not judged."""
    found = plan.steadiness
    if found is None:
        return []
    return [
        f"normal levels {'hold' if found.steady else 'wander'},"
        f" {'so' if found.steady == plan.narrow_enough else 'yet'} live calibration adapts to each"
        f" stream within {'narrow' if plan.narrow_enough else 'wide'} limits"
        + _BEYOND
        * (plan.narrow_enough and not found.steady),
        f"an average over some 20 readings, for small lasting steps, is"
        f" {'' if found.slow else 'not '}used: with it trials with fixed limits gave"
        f" {_alarms(found.surplus[1])} and detected {found.power[1]:.0%} of such steps"
        f" (without: {found.surplus[0]:.1f} times, {found.power[0]:.0%})",
        *_swiftness(plan),
        *_limits(plan),
        *describe_pace(plan),
        *_forecast(plan),
    ]


def _swiftness(plan: FitPlan) -> list[str]:
    if not plan.swift_power:
        return []
    seen = zip(SWIFTNESSES, plan.swift_power, strict=True)
    return [
        f"of the last few readings' scores the newest has the weight {plan.swiftness:.2f} (1:"
        " it alone counts); readings of injected short faults detected in trials, by weight: "
        + ", ".join(f"{weight:.2f}: {share:.1%}" for weight, share in seen)
    ]


def _limits(plan: FitPlan) -> list[str]:
    tried = plan.following
    if tried is None:
        return []
    return [
        f"narrow limits of adaptation are {'' if tried.narrow_enough else 'not '}enough: trials far"
        f" from the readings fitted on gave {_alarms(tried.surplus[1])} and detected"
        f" {tried.power[1]:.0%} of lasting steps (wide limits: {tried.surplus[0]:.1f} times,"
        f" {tried.power[0]:.0%})"
    ]


def describe_pace(plan: FitPlan) -> list[str]:
    """Return how quickly calibration adapts, in a sentence; none where no pace was tried."""
    if plan.paces is None:
        return []
    usual, chosen = plan.paces
    if chosen is not usual:
        times = chosen.how.rate / usual.how.rate
        pace = "the usual pace" if times == 1.0 else f"{times:g} times the usual pace"
        mostly = ", more by moving the level than by widening it" * (
            chosen.how.max_stretch < usual.how.max_stretch
        )
        drift = f"over up to {plan.horizon} readings is" if plan.horizon else "is not"
        return [
            f"calibration adapts at {pace}{mostly}, and slow drift {drift} taken for normal:"
            f" trials far from the readings fitted on gave {_alarms(chosen.surplus)} and"
            f" detected {chosen.power:.0%} of lasting steps (in the usual way:"
            f" {usual.surplus:.1f} times, {usual.power:.0%})"
        ]
    if usual.fails:
        share = usual.alarms / usual.readings
        return [
            "levels go further than training shows, and no pace of adaptation keeps up: far"
            f" from the readings fitted on {share:.1%} of normal readings alarmed in trials"
            f" ({_alarms(usual.surplus)}; {usual.power:.0%} of lasting steps detected). Expect"
            " false alarms. More training data help; of a feature without a level to come back"
            " to (a price, a position) use the change from reading to reading"
        ]
    return [
        "calibration adapts at the usual pace: trials far from the readings fitted on"
        f" gave {_alarms(usual.surplus)} and detected {usual.power:.0%} of lasting steps"
    ]


def _forecast(plan: FitPlan) -> list[str]:
    if plan.forecast is None:
        return []
    return [
        f"the forecast of the next reading is {'used' if plan.lags else 'not used'}: trials on"
        f" later readings with fixed limits gave {_alarms(plan.forecast.surplus)}"
    ]


def _alarms(surplus: float) -> str:
    """Describe an alarm rate in multiples of the budget."""
    return f"{surplus:.1f} times the allowed alarms"
