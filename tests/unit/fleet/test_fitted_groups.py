"""What workers report about their groups becomes what a training on one machine has."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fleet.fitted_groups import GroupRow, assembled
from fleet.group_fit import GroupPlan
from models.fitting.options import FitOptions
from models.scoring.policy import ScoringPolicy
from training.evaluation.alarms_of_faults import AlarmsOfFaults
from training.evaluation.summary import Measures

MEASURES = Measures({"rate": 0.01}, [], {}, of_faults=AlarmsOfFaults(3, 1, 0, 100))


def row(name: str, **about: Any) -> GroupRow:
    given = {
        "group": name, "error": None, "notes": [], "rules": [], "fingerprint": None,
        "features": ["a"], "statistics": {}, "measures": asdict(MEASURES), **about,
    }  # fmt: skip
    return GroupRow(name, json.loads(json.dumps(given)), Path(name))


def plan() -> GroupPlan:
    return GroupPlan("asset_id", ("a",), True, FitOptions(), ScoringPolicy(), {}, {})


def test_figures_are_those_of_a_local_fit() -> None:
    assert row("P1").measures == MEASURES
    assert row("P1", measures=None).measures is None


def test_notes_of_all_groups_are_kept_with_the_run() -> None:
    rows = [row("P1", notes=["about all"]), row("P2", notes=["about all"], result_notes=["P2: x"])]
    assert list(assembled(rows, plan(), {}, {}).notes) == ["about all", "P2: x"]
