"""Exports put on end repeat their names, and say if a unit is another from there on."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.files import _CHUNK_ROWS
from errors import DatasetError
from tests.unit.datasets.plant_files import HEAD, Load, readings, same, table


def on_end(units: str, rows: int = 200) -> tuple[str, np.ndarray]:
    """Two exports on end, each with a line of units below the names, and what they hold."""
    values = readings(2 * rows)
    lines = table(values).splitlines()
    lines[1:1] = [",,mm/s,°C,bar"]
    lines[rows + 2 : rows + 2] = [HEAD, f",,{units}"]
    return "\n".join(lines) + "\n", values


@pytest.mark.parametrize("rows", [200, _CHUNK_ROWS - 1])
def test_units_below_repeated_names_are_left_out_with_them(load: Load, rows: int) -> None:
    text, values = on_end("mm/s,°C,bar", rows)
    data = load(text)
    same(data, values)
    assert "2 lines repeat the names and are left out" in data.notes


@pytest.mark.parametrize("rows", [200, _CHUNK_ROWS - 1])
def test_another_unit_below_repeated_names_is_refused(load: Load, rows: int) -> None:
    text, _ = on_end("mm/s,°C,mbar", rows)
    message = rf"row {rows + 2} says that 'flow' is in 'mbar' from there on, and in 'bar' before"
    with pytest.raises(DatasetError, match=message):
        load(text)
    assert load(text, exclude="flow").feature_names == ["vib", "temp"]


def test_files_with_byte_order_marks_may_be_put_on_end(load: Load) -> None:
    values = readings(400)
    first, *rows = table(values).splitlines()
    blocks = [[first, *rows[:200]], [first, *rows[200:]]]
    for encoding in ("utf-8", "utf-16-le"):
        text = "".join("\ufeff" + "\r\n".join(block) + "\r\n" for block in blocks)
        data = load(text.encode(encoding))
        same(data, values)
        assert "1 lines repeat the names and are left out" in data.notes
