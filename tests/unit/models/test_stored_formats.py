"""What commit f469d9d stored is read by this code: states of streams, and a bundle.

``tests/fixtures/f469d9d`` was written by the code of that commit: a bundle of two groups ("pumps"
without, "fleet" with baselines) and one state of every kind that it could store.
"""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundles.bundle import Bundle
from models.fitting.options import FitOptions
from models.scoring.ensemble import StreamOutcome, score
from models.scoring.magnitudes.adaptation import AdaptationParams, AdaptiveTail
from models.scoring.stream_state import StreamState
from models.scoring.stream_work import Reading, StreamWork
from schemas import parse_timestamp

FOLDER = Path(__file__).parents[2] / "fixtures" / "f469d9d"
STATES: dict[str, dict[str, Any]] = json.loads((FOLDER / "stream_states.json").read_text())
NAMES = ("vib", "temp", "flow")


@pytest.fixture(scope="module")
def old() -> Bundle:
    return Bundle.load(FOLDER / "bundle")


def readings(after: str | None, count: int = 25) -> list[Reading]:
    start = parse_timestamp(after or "2026-01-02T00:00:00Z")
    rows = np.random.default_rng(1).normal([10.0, 50.0, 5.0], 0.3, size=(count, 3))
    return [
        Reading(start + timedelta(minutes=1 + i), dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(rows.tolist())
    ]


def go_on(bundle: Bundle, group: str, state: dict[str, Any] | None) -> StreamOutcome:
    points = readings(state["last"] if state else None)
    work = StreamWork("UNIT_1", "S1", None, "medium", state, (), points)
    return score(bundle.model_set(group), [work])[0]


@pytest.mark.parametrize("kind", STATES)
def test_a_stored_state_is_read_and_gone_on_with(old, kind):
    group, state = STATES[kind]["group"], STATES[kind]["state"]
    outcome = go_on(old, group, state)
    metadata = [result["metadata"] for result in outcome.results]  # none is an error entry
    assert {one["window"] for one in metadata} == {"added"}
    assert not any("restarted" in one for one in metadata)
    if "events" in state:
        assert metadata[0]["event"]["id"] == state["events"][0][0]
    if kind.startswith("baseline known"):
        assert "warming_up" not in metadata[0]
    if kind == "baseline begun":
        warm = [one.get("warming_up", False) for one in metadata]
        assert warm == [True] * 13 + [False] * 12  # seven of twenty were counted before


def test_what_is_known_of_a_stream_is_taken_over(old):
    model_set = old.model_set("fleet")
    stored = STATES["baseline known"]["state"]
    state = model_set.state(stored)
    again = state.to_dict(old.version, model_set.preprocessing)
    assert {key: again[key] for key in stored} == stored
    state = old.model_set("pumps").state(STATES["level and an open event"]["state"])
    again = state.to_dict(old.version, old.model_set("pumps").preprocessing)
    stored = STATES["level and an open event"]["state"]
    assert {key: again[key] for key in stored} == stored


@pytest.mark.parametrize("kind", STATES)
def test_unknown_keys_are_passed_over_and_missing_ones_have_defaults(old, kind):
    group, state = STATES[kind]["group"], STATES[kind]["state"]
    plain = go_on(old, group, state)
    more = {**state, "invented_later": {"x": [1]}, "tail": [*state["tail"], 0.5]}
    assert go_on(old, group, more).results == plain.results
    for absent in state:
        less = {key: value for key, value in state.items() if key != absent}
        points = readings(state["last"])
        work = StreamWork("UNIT_1", "S1", None, "medium", less, (), points)
        results = score(old.model_set(group), [work])[0].results
        assert all("final_score" in result for result in results), absent


def test_the_keys_that_are_stored_are_these(old):
    # a rename of an attribute must not reach a stored state: whoever changes this breaks readers
    pumps = go_on(old, "pumps", STATES["level and an open event"]["state"]).state
    fleet = go_on(old, "fleet", STATES["baseline known"]["state"]).state
    begun = go_on(old, "fleet", None).state
    young = score(
        old.model_set("fleet"),
        [StreamWork("UNIT_1", None, None, "low", None, (), readings(None, 3))],
    )[0].state
    always = {"v", "bundle", "last", "tail", "clock"}
    assert set(pumps) - {"events", "incident", "levels"} == always | {"level"}
    assert set(fleet) - {"events", "incident"} == always | {"baseline"}
    assert set(begun) - {"events", "incident"} == always | {"baseline"}
    assert set(young) - {"events", "incident"} == always | {"first"}
    assert [len(one["tail"]) for one in (pumps, fleet)] == [9, 9]
    keys = {"rate", "pace", "least", "most", "furthest", "start", "first_stretch"}
    assert set(AdaptationParams().to_dict()) == keys


def test_a_bundle_with_keys_of_another_release_is_read(old, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(FOLDER / "bundle", folder)
    for path in folder.glob("groups/*/model_set.json"):
        content = json.loads(path.read_text())
        content["preprocessing"] |= {"invented": 1}
        content["adaptation"] |= {"invented": 1}
        content["options"] |= {"invented": 1}
        del content["adaptation"]["pace"], content["figures"]
        del content["preprocessing"]["max_imputed"], content["preprocessing"]["limits"]
        path.write_text(json.dumps(content))
    index = json.loads((folder / "bundle.json").read_text())
    index["rules"][0] |= {"invented": 1}
    del index["rules"][1]["feature"], index["rules"][1]["sensor_id"]
    (folder / "bundle.json").write_text(json.dumps(index))
    bundle = Bundle.load(folder)
    assert bundle.rules == old.rules
    for group in ("pumps", "fleet"):
        found, kept = bundle.model_set(group), old.model_set(group)
        assert found.adaptation == kept.adaptation
        assert FitOptions.from_dict(found.options) == FitOptions.from_dict(kept.options)
        results = [go_on(one, group, None).results for one in (bundle, old)]
        assert results[0] == results[1]


def test_a_fresh_state_needs_no_key_at_all(old):
    state = StreamState.from_dict(
        {}, old.version, old.model_set("pumps").preprocessing, AdaptiveTail(0.4)
    )
    assert state.clock.last is None
