"""Parse the body of ``POST /train``: a matrix of readings or a data set's name, and options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from errors import InputError
from models.detectors.base import MODEL_NAMES
from serving.requests.wire import Name, check_unique, decode

Model = Literal["isolation_forest", "one_class_svm", "lstm_autoencoder"]
assert Model.__args__ == tuple(MODEL_NAMES)  # type: ignore[attr-defined] # noqa: S101
Row = Annotated[list[float | None], Meta(min_length=1)]


class TrainingBody(Struct, forbid_unknown_fields=True, frozen=True):
    """The training data: either data (null: not measured) or dataset."""

    data: Annotated[
        Annotated[list[Row], Meta(min_length=1)] | None, Meta(examples=[[[1.2, 3.1], [1.1, 3.0]]])
    ] = None
    feature_names: Annotated[
        Annotated[list[Name], Meta(min_length=1)] | None, Meta(examples=[["rms", "kurtosis"]])
    ] = None
    dataset: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._ -]{0,254}$")] | None,
        Meta(description="a file under DATA_DIR, never a path", examples=[None]),
    ] = None
    model_names: Annotated[list[Model], Meta(min_length=1)] | None = None
    group: Annotated[Name | None, Meta(examples=["default"])] = None
    promote: bool | None = None


class TrainQuery(Struct, frozen=True):
    """Whether to wait for the end of the training."""

    wait: bool = True


class RunsQuery(Struct, frozen=True):
    """Which training runs to list."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    page: str | None = None
    model_name: Model | None = None


@dataclass(slots=True)
class Training:
    """A validated request; it has either ``values`` or ``dataset``."""

    values: np.ndarray[Any, Any] | None
    dataset: str | None
    options: dict[str, Any]


def parse_training(content: bytes) -> Training:
    """Parse the body of ``POST /train``.

    Raises
    ------
    InputError
        Names the invalid field.
    """
    body = decode(TrainingBody, content, shape="not_an_object", unknown="unknown_field")
    if (body.data is None) == (body.dataset is None):
        raise InputError("give either data or dataset", field="data")
    values = None if body.data is None else _matrix(body.data)
    names = body.feature_names
    if names is not None:
        _check_names(names, values)
    elif values is not None:
        names = [f"feature_{i}" for i in range(values.shape[1])]
    models = body.model_names and [name for name in MODEL_NAMES if name in body.model_names]
    options = {
        "feature_names": names, "model_names": models, "group": body.group,
        "promote": body.promote,
    }  # fmt: skip
    sent = {name: value for name, value in options.items() if value is not None}
    return Training(values, body.dataset, sent)


def _matrix(data: list[list[float | None]]) -> np.ndarray[Any, Any]:
    width = len(data[0])
    for index, row in enumerate(data):
        if len(row) != width:
            raise InputError(f"data[{index}]: must have {width} numbers", field=f"data[{index}]")
    return np.array(data, dtype=np.float64)  # null becomes NaN: not measured


def _check_names(names: list[str], values: np.ndarray[Any, Any] | None) -> None:
    check_unique(names, "feature_names")
    if values is not None and len(names) != values.shape[1]:
        raise InputError(
            f"feature_names: {len(names)} names for {values.shape[1]} columns",
            field="feature_names",
        )
