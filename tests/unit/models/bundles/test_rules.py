"""Rules of a bundle: the index finds what going through them all would find, and quickly."""

from __future__ import annotations

import random
import time
from fnmatch import fnmatchcase

import pytest

from models.bundles.rules import Rule, RuleIndex

PATTERNS = ["*", "A", "A*", "AB*", "A?", "*B", "[AB]*", "A[*]", "AB", "", "B", "?"]
NAMES = ["A", "AB", "ABC", "B", "A*", "", "a", "CB"]


def first_match(rules: list[Rule], asset: str, sensor: str, feature: str | None) -> Rule | None:
    for rule in rules:
        if (
            rule.feature == feature
            and fnmatchcase(asset, rule.asset_id)
            and fnmatchcase(sensor, rule.sensor_id)
        ):
            return rule
    return None


def test_the_index_finds_the_first_rule_that_matches():
    pick = random.Random(3)
    found = 0
    for _ in range(300):
        rules = [
            Rule(str(n), pick.choice(PATTERNS), pick.choice(PATTERNS), pick.choice([None, "rms"]))
            for n in range(pick.randrange(12))
        ]
        index = RuleIndex(rules)
        for _ in range(40):
            stream = (pick.choice(NAMES), pick.choice(NAMES), pick.choice([None, "rms"]))
            rule = first_match(rules, *stream)
            assert index.find(*stream) is rule
            found += rule is not None
    assert found > 1000


@pytest.mark.parametrize("pattern", ["UNIT_{}", "UNIT_{}_*"])
@pytest.mark.parametrize("by", ["asset", "sensor"])
def test_a_group_among_three_thousand_is_found_as_quickly_as_among_three(pattern, by):
    def timed(count: int) -> float:
        patterns = [pattern.format(n) for n in range(1000, 1000 + count)]
        rules = [Rule(p, p, "*") if by == "asset" else Rule(p, "*", p) for p in patterns]
        name = patterns[-1].replace("*", "7")
        index = RuleIndex([*rules, Rule("rest")])
        stream = (name, "S", None) if by == "asset" else ("A", name, None)
        assert index.find(*stream) is rules[-1]
        best = float("inf")
        for _ in range(20):
            begun = time.perf_counter()
            for _ in range(50):
                index.find(*stream)
            best = min(best, (time.perf_counter() - begun) / 50)
        return best

    assert timed(3000) < 5 * timed(3)
