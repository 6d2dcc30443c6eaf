"""Columns that are labels beside the label."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.unit.datasets.plant_files import Load


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("0 0 0 0 1 0", True), ("0 0  0 2 1", True),
        ("0 1 0 0 1 0", False),  # a state
        ("0 0 0 0 0 0", False), ("5 5 5 5 5 5", False), ("0 0 0 0 0.5 0", False),
    ],
)  # fmt: skip
def test_features_that_move_in_labelled_faults_only_are_named(
    load: Load, values: str, told: bool
) -> None:
    rows = enumerate(zip(values.split(" "), "000011", strict=True), start=1)
    text = "".join(f"A,2026-01-0{day},{day / 8},{value},{label}\n" for day, (value, label) in rows)
    data = load(f"asset_id,timestamp,f,attack 1,anomaly\n{text}")
    assert data.feature_names == ["f", "attack 1"]
    note = (
        'attack 1: 0 but in readings labelled as faults: labels too? (--exclude "attack 1" leaves'
        " them out)"
    )
    assert (note in data.notes) == told


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("RUL", range(200, 0, -1), True),
        ("Time to failure (h)", [*range(99, -1, -1)] * 2, True),  # two runs in a row
        ("RUL", [*[125] * 100, *range(100, 0, -1)], True),
        ("RUL", [90 - n // 4 + 3 * (n % 2) for n in range(200)], False),  # an estimate
        ("RUL", [90] * 200, False),
        ("level", range(200, 0, -1), False),
    ],
)
def test_what_counts_down_to_a_failure_is_named(
    load: Load, name: str, values: Sequence[int], told: bool
) -> None:
    rows = (f"A,2026-01-01 {n // 60:02d}:{n % 60:02d},{n % 7},{v}\n" for n, v in enumerate(values))
    data = load(f"asset_id,timestamp,f,{name}\n{''.join(rows)}")
    assert data.feature_names == ["f", name]
    notes = [note for note in data.notes if note.startswith(f"{name}: counts down to a failure")]
    assert len(notes) == told
    assert all("--exclude" in note for note in notes)
