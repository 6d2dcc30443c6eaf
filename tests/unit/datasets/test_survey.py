"""What a whole file shows and its first rows do not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from datasets.survey import survey


def batches(**columns: list) -> list[pa.RecordBatch]:
    """Three batches of columns that are called c0, c1, ..."""
    table = pa.table({f"c{i}": cells for i, cells in enumerate(columns.values())})
    return table.to_batches(max_chunksize=max(1, table.num_rows // 3))


@pytest.mark.parametrize("text", [True, False])
def test_rows_of_the_first_times_are_found_wherever_they_stand(text: bool) -> None:
    times = [t for _ in "xyz" for t in range(500)]
    column = [str(t) for t in times] if text else times
    names = [name for name in "xyz" for _ in range(500)]
    found = survey(batches(asset=["A"] * 1500, time=column, name=names), [0], [1], [2])
    assert [len(cells) for cells in found.at_first_times.values()] == [1500] * 3
    assert set(found.at_first_times[2]) == {"x", "y", "z"}
    assert set(found.spread[2]) == {"x", "y", "z"}


def test_of_many_times_the_first_and_others_of_the_first_batch_are_taken() -> None:
    times = list(range(9000))
    found = survey(batches(time=times, n=times), [], [0], [1])
    taken = np.array(found.at_first_times[0], int)
    assert taken[:300].tolist() == list(range(300))
    assert set(np.diff(taken[300:])) == {10}
    assert taken[-1] == 2990


def test_cells_are_spread_without_a_rhythm() -> None:
    names = ["x", "x", "y", "y"] * 5000
    found = survey(batches(name=names, n=list(range(20_000))), [], [], [0, 1])
    assert set(found.spread[0]) == {"x", "y"}
    rows = np.array(found.spread[1], int)
    assert (np.diff(rows) > 0).all()
    assert found.at_first_times == {0: [], 1: []}


def test_numbers_with_a_sign_between_their_digits_are_collected() -> None:
    cells = ["987"] * 20_000 + ["1.013", None, " 1,5 ", "a.b"] + ["7"] * 20_000
    found = survey(batches(n=cells, typed=[1.5] * len(cells)), [], [], [0, 1])
    assert found.separated == {0: {"1.013", "1,5"}, 1: set()}
