"""Scores stay equal to 1e-9: same stored bundle, same detectors' answers, same batch cut.

``tests/fixtures/stored_scores`` holds a bundle of three groups whose tails follow differently, and
what the code made of three streams before the adaptive tail was cut into three objects; the pump's
were stored again when the swift average began to start at the median, and when it ceased to ring
on. The detectors' magnitudes are stored with it, since they alone may round otherwise on another
machine.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundles.bundle import Bundle
from models.detectors.base import Array
from models.scoring.ensemble import DetectorCall, run
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import carried
from models.scoring.stream_work import Reading, StreamWork
from training.simulate import simulate

STORED = Path(__file__).parents[3] / "fixtures" / "stored_scores"
SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
START = datetime(2026, 1, 1, tzinfo=UTC)
CUT = 170
#: stream, policy: what each recorded case is scored with
CASES = {
    "pump": ("PUMP_9", ScoringPolicy()),
    "pump, shift accepted": ("PUMP_9", ScoringPolicy(accept_shift_after=100)),
    "rig": ("RIG_0", ScoringPolicy()),
    "rig, shift accepted": ("RIG_0", ScoringPolicy(accept_shift_after=60)),
    "rig, no adaptation": ("RIG_0", ScoringPolicy(adaptation=False)),
    "engine": ("ENGINE_1", ScoringPolicy()),
}


def values_of(case: str) -> np.ndarray:
    """Rows (n, d): a pump, SKAB valve1/0 (both with shifts), and unit 1 of FD001."""
    columns = json.loads((STORED.parent / "release_0_1" / "columns.json").read_text())["cmapss"]
    if case.startswith("pump"):
        rows = simulate(assets=1, readings=1000, seed=11, machines=("PUMP",)).values[0]
        rows[300] *= 1.5
        rows[420:640, 2] += 15.0
        rows[800:830, 0] += 1.0
        return rows
    name = "cmapss/train_FD001.txt" if case == "engine" else "skab/valve1/0.csv"
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not there: get it as docs/training.md says")
    if case == "engine":
        rows = np.loadtxt(path)
        return rows[rows[:, 0] == 1][:, columns["columns"]]
    rows = np.genfromtxt(path, delimiter=";", skip_header=1, usecols=range(1, 9))
    rows[700:850] += 1.5 * rows[:400].std(axis=0)
    rows[850:950] += 6.0 * rows[:400].std(axis=0)
    return rows


def replayed(
    model_set: ModelSet, case: str, answers: dict[str, Iterator[float]] | None
) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any], list[tuple[DetectorCall, Array]]]]:
    """Results, state and detectors' answers of each call; stored answers in place of theirs."""
    asset, policy = CASES[case]
    names = model_set.feature_names
    points = [
        Reading(START + i * timedelta(minutes=1), dict(zip(names, map(float, row), strict=True)))
        for i, row in enumerate(values_of(case))
    ]
    state: dict[str, Any] | None = None
    window: list[Reading] = []
    for at in range(0, len(points), CUT):
        part = points[at : at + CUT]
        criticality = ("medium", "critical", "low")[at // CUT % 3]
        steps = run(
            model_set, [StreamWork(asset, None, None, criticality, state, window, part)], policy
        )
        asked: list[tuple[DetectorCall, Array]] = []
        calls = next(steps)
        while True:
            given: list[Array] = []
            for call in calls:
                detector = model_set.detectors[call.detector]
                if call.method == "explain":
                    given.append(detector.explain(call.x))
                    continue
                found = detector.score(call.x)
                if answers is not None:
                    own = np.array([next(answers[call.detector]) for _ in call.x])
                    np.testing.assert_allclose(found, own, rtol=1e-6, atol=1e-6)
                    found = own
                asked.append((call, found))
                given.append(found)
            try:
                calls = steps.send(given)
            except StopIteration as stop:
                (outcome,) = stop.value
                break
        state = json.loads(json.dumps(outcome.state))
        window = carried(window, part, outcome.results, outcome.window_length)
        yield outcome.results, state, asked


@pytest.fixture(scope="module")
def stored_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(STORED / "bundle.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return Bundle.load(folder / "bundle")


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    return json.loads(gzip.decompress((STORED / "expected.json.gz").read_bytes()))


@pytest.mark.parametrize("case", CASES)
def test_scores_and_states_are_those_stored(
    stored_bundle: Bundle, before: dict[str, Any], case: str
) -> None:
    expected = before[case]
    model_set = stored_bundle.model_set(case.split(",")[0])
    answers = {name: iter(values) for name, values in before["answers"][model_set.group].items()}
    results, tails = [], []
    for some, state, _ in replayed(model_set, case, answers):
        results += some
        tails.append(state["tail"])
    for name in ("log10_p", "final_score", "p"):
        found = [r[name] for r in results]
        np.testing.assert_allclose(found, expected[name], rtol=1e-9, atol=1e-9)
    assert [r["is_anomaly"] for r in results] == expected["is_anomaly"]
    votes = [[s["score"] for s in r["scores"]] for r in results]
    for found, stored in zip(votes, expected["votes"], strict=True):
        assert found == pytest.approx(stored, abs=1e-9)
    events = [
        [e["id"], e["state"], e["peak"]] if (e := r["metadata"].get("event")) else None
        for r in results
    ]
    assert events == expected["events"]
    for found, stored in zip(tails, expected["tails"], strict=True):
        assert found == pytest.approx(stored, rel=1e-9, abs=1e-9)
