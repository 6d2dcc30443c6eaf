"""The installation's policy: thresholds by criticality, and what opens an incident."""

from __future__ import annotations

import math

from models.scoring.magnitudes.tail import score_of
from models.scoring.policy import BUDGETS, ScoringPolicy


def test_the_threshold_is_the_score_of_the_budget():
    for criticality, budget in BUDGETS.items():
        assert ScoringPolicy().threshold(criticality) == score_of(math.log10(budget))


def test_a_criticality_without_a_budget_has_that_of_medium():
    policy = ScoringPolicy(budgets={"medium": 1e-2})
    assert policy.threshold("critical") == policy.threshold("medium")


def test_false_alarms_raise_what_an_incident_asks_up_to_a_bound():
    policy = ScoringPolicy(feedback_raise=0.5, feedback_raise_max=2.0)
    assert [policy.raised(n) for n in (0, 1, 3, 100)] == [0.0, 0.5, 1.5, 2.0]


def test_without_rates_every_event_opens_an_incident_until_feedback_asks_for_rarer_ones():
    policy = ScoringPolicy()
    assert policy.opening_rule(None, "medium") is None
    rule = policy.opening_rule(None, "medium", raised=1.0)
    assert rule is not None
    assert rule == policy.opening_rule(None, "unheard-of", raised=1.0)
    assert rule != policy.opening_rule(None, "low", raised=1.0)
