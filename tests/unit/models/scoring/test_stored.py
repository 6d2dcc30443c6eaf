"""Parts of a model set as JSON: their keys are named, and outlive what a release adds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bundles.rules import Rule
from models.scoring.stored import Stored


@dataclass(frozen=True)
class Inner(Stored):
    KEYS: ClassVar = ("steps",)

    steps: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class Outer(Stored):
    KEYS: ClassVar = ("names", "matrix", "count", "by_name", "inner", "rate")

    names: tuple[str, ...]
    matrix: NDArray[np.float64] | None
    count: int
    by_name: Mapping[str, Inner]
    inner: Inner | None = None
    rate: float | None = None
    derived: int = field(default=7)  # not stored


INNER = Inner(((1.0, 2.0), ()))
OUTER = Outer(("a", "b"), np.array([[1.0, 0.5]]), 3, {"x": INNER}, INNER, 0.25, derived=9)


def test_what_is_stored_is_read_back_by_json() -> None:
    data = json.loads(json.dumps(OUTER.to_dict(), allow_nan=False))
    assert list(data) == list(Outer.KEYS)
    again = Outer.from_dict(data)
    assert (again.names, again.count, again.rate) == (("a", "b"), 3, 0.25)
    assert again.by_name == {"x": INNER}
    assert again.inner == INNER
    assert again.matrix is not None
    np.testing.assert_array_equal(again.matrix, [[1.0, 0.5]])
    assert again.derived == 7


def test_absent_keys_have_defaults_and_unknown_ones_are_passed_over() -> None:
    data = OUTER.to_dict()
    del data["inner"], data["rate"]
    again = Outer.from_dict({**data, "matrix": None, "of_a_later_release": [1]})
    assert (again.inner, again.rate, again.matrix) == (None, None, None)


def test_an_absent_key_without_a_default_is_refused() -> None:
    with pytest.raises(TypeError, match="count"):
        Outer.from_dict({k: v for k, v in OUTER.to_dict().items() if k != "count"})


def test_a_rule_keeps_its_keys() -> None:
    rule = Rule("pumps", "PUMP*")
    stored = {"group": "pumps", "asset_id": "PUMP*", "sensor_id": "*", "feature": None}
    assert rule.to_dict() == stored
    assert Rule.from_dict({"group": "pumps", "asset_id": "PUMP*"}) == rule
