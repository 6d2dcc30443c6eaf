"""Groups made for streams that do not fit are told from those that people name."""

from __future__ import annotations

from glob import escape

import pytest

from models.bundles.rules import Rule
from training.data.own_groups import named_by_somebody

REST = Rule("default")
OWN = Rule("default_P*1", escape("P*1"), escape("S[1]"))


@pytest.mark.parametrize("rules", [[], [REST], [OWN, Rule("default_P*1", "P2", ""), REST]])
def test_groups_made_for_streams_that_do_not_fit_are_nobodys(rules: list[Rule]) -> None:
    assert not named_by_somebody(rules)


@pytest.mark.parametrize(
    "rules",
    [
        [Rule("default_pumps", "PUMP*"), REST],
        [Rule("vibration", "P1", "S1"), REST],
        [Rule("default_P1", "P1")],
        [Rule("default", "PUMP*")],
        [OWN, Rule("default", feature="rms")],
    ],
)
def test_groups_of_a_file_are_somebodys_whatever_their_names_are(rules: list[Rule]) -> None:
    assert named_by_somebody(rules)
