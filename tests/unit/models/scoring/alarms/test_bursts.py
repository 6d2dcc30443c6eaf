"""When an event becomes an incident, and that it does not depend on how batches are cut."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from errors import InputError
from models.bundles.bundle import Bundle
from models.scoring.alarms.bursts import (
    APART,
    LEVELS,
    MONTH_S,
    RATES,
    Burst,
    BurstRates,
    OpeningRule,
)
from models.scoring.ensemble import score
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import StreamWork
from tests.fixtures.bundle import points
from tests.unit.ensemble_scoring import in_pieces, one

START = datetime(2026, 1, 1, tzinfo=UTC)
RULE = OpeningRule(on_delay=3, peak=4.0, at_once=7.0)


def rates(interval_s: float = 60.0, streams: float = 1.0) -> BurstRates:
    """A peak a decade more rare is ten times as rare; lasting bursts come a decade less often."""
    single = tuple(-rate for rate in RATES)
    lasting = tuple(tuple(max(level, -rate - 1.0) for rate in RATES) for level in LEVELS)
    return BurstRates(single, 3, lasting, interval_s, streams, -4.0)


def fed(burst: Burst, rarities: list[float], rule: OpeningRule | None = RULE) -> list[dict]:
    """What an event says whose anomalies lie beyond ``p`` = 1e-3."""
    return [
        burst.take(rarity, rarity >= 3.0, START + i * timedelta(minutes=1), rule)
        for i, rarity in enumerate(rarities)
    ]


def test_a_lasting_burst_opens_after_its_delay_and_only_with_its_peak():
    news = fed(Burst("e"), [3.5, 3.5, 3.5, 3.5, 4.5, 3.5])
    assert [one["opens"] for one in news] == [False] * 4 + [True] * 2
    assert news[4] == {
        "opens": True,
        "at": "2026-01-01T00:04:00+00:00",
        "why": "on_delay",
        "peak_log10_p": -4.5,
        "needed_log10_p": -4.0,
    }
    assert news[5] == {"opens": True, "at": news[4]["at"]}  # an event has one incident at most


def test_a_severe_reading_opens_at_once():
    (news,) = fed(Burst("e"), [7.2])
    assert (news["opens"], news["why"]) == (True, "at_once")


@pytest.mark.parametrize(("quiet", "opens"), [(APART, True), (APART + 1, False)])
def test_chance_far_apart_does_not_add_up(quiet, opens):
    news = fed(Burst("e"), [3.5, 4.5, *[0.5] * quiet, 3.5])
    assert news[-1]["opens"] is opens


def test_without_rates_the_event_is_the_incident():
    assert [one["opens"] for one in fed(Burst("e"), [3.1, 0.2, 3.2], None)] == [True] * 3


@pytest.mark.parametrize(("interval_s", "streams"), [(3600.0, 1.0), (60.0, 4.0), (1.0, 1.0)])
def test_the_budget_is_of_the_asset_and_of_the_month_whatever_the_rate(interval_s, streams):
    rule = rates(interval_s, streams).rule(3.0, 1.0, 0.1)
    a_month = MONTH_S / interval_s * streams  # readings of the asset's streams
    assert 10.0**-rule.at_once * a_month == pytest.approx(0.1)
    lasting = 10.0 ** -(rule.peak + 1.0) * a_month
    assert lasting == pytest.approx(0.9) or rule.peak == 3.0
    assert lasting <= 0.9 + 1e-9


def test_settings_shift_the_rule_and_need_no_new_fit():
    usual = rates().rule(3.0, 1.0, 0.1)
    assert rates().rule(3.0, 0.1, 0.1).at_once == pytest.approx(usual.at_once + 1)
    assert rates().rule(3.0, 1.0, 0.0).at_once == math.inf
    raised = rates().rule(3.0, 1.0, 0.1, 1.5)
    assert (raised.at_once, raised.peak) == (usual.at_once + 1.5, usual.peak + 1.5)
    all_at_once = rates().rule(3.0, 1.0, 1.0)
    assert all_at_once == OpeningRule(1, all_at_once.at_once, all_at_once.at_once)


def test_beyond_the_table_a_tenth_of_the_rate_is_a_decade_more_rare():
    hundred_hz = rates(interval_s=0.01)
    near, far = (hundred_hz.rule(3.0, budget, 1.0).at_once for budget in (0.01, 0.0001))
    assert far == pytest.approx(near + 2.0)
    assert hundred_hz.extrapolated(1.0)
    assert not rates(3600.0).extrapolated(1.0)


def test_rates_are_read_back_exactly_and_checked():
    found = BurstRates.from_dict(json.loads(json.dumps(rates().to_dict())))
    assert found == rates()
    short = rates().to_dict()
    short["single"] = short["single"][:-1]
    with pytest.raises(ValueError, match="not as many figures"):
        BurstRates.from_dict(short)


def test_a_fault_opens_one_incident_and_the_cut_of_batches_changes_nothing(model_set, plant):
    assert model_set.bursts is not None
    for asset, fault in enumerate(plant.faults):
        readings = points(plant, asset, 400)
        whole = one(model_set, readings)
        found = [r["metadata"].get("event", {}).get("incident") for r in whole.results]
        opened = {new["at"] for new in found if new and new["opens"]}
        inside = {r["timestamp"] for r in whole.results[fault.start - 400 : fault.end - 400]}
        assert len(opened & inside) == 1
        parts, state = in_pieces(model_set, readings, 37)
        assert [r["metadata"].get("event", {}).get("incident") for r in parts] == found
        assert len(json.dumps(state)) < 4096


def test_an_asset_that_was_told_about_needs_more(model_set, plant):
    readings = points(plant, 0, 500)
    opened = {}
    for count in (0, 9):
        work = StreamWork("A", None, None, "medium", None, (), readings, false_alarms=count)
        results = score(model_set, [work])[0].results
        news = [r["metadata"].get("event", {}).get("incident", {}) for r in results]
        opened[count] = next(new for new in news if "why" in new)
    assert opened[9]["affected_by_feedback"] is True
    assert "affected_by_feedback" not in opened[0]
    assert opened[9]["needed_log10_p"] < opened[0]["needed_log10_p"]


def test_false_alarms_raise_by_half_a_decade_each_and_by_two_at_most(model_set):
    policy = ScoringPolicy()
    usual = policy.opening_rule(model_set.bursts, "medium")
    for count, raised in ((0, 0.0), (1, 0.5), (3, 1.5), (4, 2.0), (1000, 2.0)):
        assert policy.raised(count) == raised
        rule = policy.opening_rule(model_set.bursts, "medium", policy.raised(count))
        assert usual is not None
        assert rule is not None
        assert (rule.peak, rule.at_once) == (usual.peak + raised, usual.at_once + raised)
        assert rule.on_delay == usual.on_delay


def test_without_rates_an_event_opens_beyond_the_alarm_once_people_told():
    policy = ScoringPolicy()
    assert policy.opening_rule(None, "medium") is None
    rule = policy.opening_rule(None, "medium", 0.5)
    news = fed(Burst("e"), [3.1, 3.4, 3.6], rule)
    assert [one["opens"] for one in news] == [False, False, True]


def test_a_bundle_keeps_its_rates_and_an_older_one_opens_with_the_event(
    model_set, readings, tmp_path
):
    Bundle({"default": model_set}).save(tmp_path / "new")
    kept = Bundle.load(tmp_path / "new").model_set("default")
    assert kept.bursts == model_set.bursts
    path = next((tmp_path / "new").glob("groups/*/model_set.json"))
    content = json.loads(path.read_text())
    del content["incidents"]
    path.write_text(json.dumps(content))
    older = Bundle.load(tmp_path / "new").model_set("default")
    assert older.bursts is None
    for result in one(older, readings).results:
        event = result["metadata"].get("event")
        if event:
            assert event["incident"]["opens"]
            assert event["incident"]["at"] == event["started_at"]


def test_a_damaged_state_is_refused(model_set, readings):
    state = one(model_set, readings[:790]).state
    assert state["incident"][0] == state["events"][0][0]
    for place, wrong in ((0, 7), (1, -1), (3, True), (3, 1e301), (4, "soon")):
        bad = json.loads(json.dumps(state))
        bad["incident"][place] = wrong
        with pytest.raises(InputError, match="state"):
            model_set.state(bad)


def test_the_budget_follows_the_criticality_of_the_asset():
    policy = ScoringPolicy()
    found = {c: policy.opening_rule(rates(), c) for c in ("critical", "high", "medium", "low")}
    severe = [rule.at_once for rule in found.values() if rule]
    assert severe == sorted(severe)
    strict = replace(policy, incident_budgets={"medium": 0.01})
    rule = strict.opening_rule(rates(), "medium")
    usual = found["medium"]
    assert rule is not None
    assert usual is not None
    assert rule.at_once == pytest.approx(usual.at_once + 2)
    assert policy.opening_rule(None, "low") is None
