"""Values of a stream's state: arrays come back exactly, what is no state is refused by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from models.scoring.state_values import FINITE, TIMES, check, pack, unpack


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
def test_an_array_comes_back_exactly(kind: str) -> None:
    values = np.random.default_rng(0).normal(size=(3, 2)).astype(kind[1:])
    text = json.loads(json.dumps(pack(values, kind)))
    again = unpack(text, kind, 3, 2)
    assert again.dtype == values.dtype
    np.testing.assert_array_equal(again, values)
    assert pack(None, kind) is None


@pytest.mark.parametrize("values", [[1.0, np.nan], [np.inf, 1.0], [1.0, 2.0, 3.0]])
def test_what_is_not_finite_or_of_another_width_is_refused(values: list[float]) -> None:
    text = pack(np.array(values), "<f8")
    assert text is not None
    with pytest.raises(ValueError, match=r"not finite|reshape"):
        unpack(text, "<f8", 2)


@pytest.mark.parametrize("wrong", [True, -1, 2**40, float("nan")])
def test_a_number_beyond_its_bounds_is_refused_by_name(wrong: Any) -> None:
    check("levels", (0, 5, 2**31), (0, 2**31))
    with pytest.raises(ValueError, match=r"levels: .* lies outside 0\.\.2\.14748e\+09"):
        check("levels", (5, wrong), (0, 2**31))


def test_times_and_figures_are_finite() -> None:
    check("event", (-1e300, 1.8e9), FINITE)
    for bounds in (TIMES, FINITE):
        with pytest.raises(ValueError, match="off"):
            check("off", (float("inf"),), bounds)
    with pytest.raises(TypeError):
        check("off", ("noon",), TIMES)
