"""Columns that are labels beside the label."""

from __future__ import annotations

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
