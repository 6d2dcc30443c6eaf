"""The body of ``POST /train``."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from errors import InputError
from models.detectors.base import MODEL_NAMES
from serving.requests.training_request import parse_training


def parse(**body: Any) -> Any:
    return parse_training(orjson.dumps(body))


def test_a_matrix_gets_names_and_null_is_not_measured() -> None:
    training = parse(data=[[1, 2], [None, 4]], promote=False)
    np.testing.assert_array_equal(training.values, [[1, 2], [np.nan, 4]])
    assert training.options == {"feature_names": ["feature_0", "feature_1"], "promote": False}


def test_models_are_in_their_own_order() -> None:
    training = parse(dataset="plant.csv", model_names=list(reversed(MODEL_NAMES)), group="pumps")
    assert (training.values, training.dataset) == (None, "plant.csv")
    assert training.options == {"model_names": list(MODEL_NAMES), "group": "pumps"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "data"),
        ({"data": [[1]], "dataset": "x.csv"}, "data"),
        ({"data": []}, "data"),
        ({"data": [[]]}, "data[0]"),
        ({"data": [[1, 2], [3]]}, "data[1]"),
        ({"data": [[1, "x"]]}, "data[0][1]"),
        ({"data": [[1, 2]], "feature_names": ["a"]}, "feature_names"),
        ({"data": [[1, 2]], "feature_names": ["a", "a"]}, "feature_names"),
        ({"dataset": "../secret"}, "dataset"),
        ({"dataset": "x.csv", "model_names": ["random"]}, "model_names[0]"),
        ({"dataset": "x.csv", "promot": True}, "promot"),
    ],
)
def test_a_wrong_body_names_its_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(**body)
    assert caught.value.field == field
