"""Check the body of ``POST /train``: a matrix of readings or a data set's name, and options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from errors import InputError
from models.detectors.base import MODEL_NAMES
from schemas import check_name

_FIELDS = ("data", "dataset", "feature_names", "model_names", "group", "promote")
#: A data set is a file's name: no folder, nothing hidden.
_DATASET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,254}")


@dataclass(slots=True)
class Training:
    """A checked request; it has either ``values`` or ``dataset``."""

    values: np.ndarray[Any, Any] | None
    dataset: str | None
    options: dict[str, Any]


def parse_training(content: object) -> Training:
    """Check the body of ``POST /train``.

    Raises
    ------
    InputError
        With the field at fault.
    """
    if not isinstance(content, dict):
        raise InputError("the body must be a JSON object", code="not_an_object")
    for name in content:
        if name not in _FIELDS:  # "promot": false must not promote
            raise InputError(
                f"{name:.64}: not a field of a training request; they are {', '.join(_FIELDS)}",
                code="unknown_field",
                field=name[:64],
            )
    data, dataset = content.get("data"), content.get("dataset")
    if (data is None) == (dataset is None):
        raise InputError("give either data or dataset", field="data")
    if dataset is not None and not (isinstance(dataset, str) and _DATASET.fullmatch(dataset)):
        raise InputError(
            f"dataset: {dataset!r:.80} is not the name of a file under DATA_DIR", field="dataset"
        )
    values = None if data is None else _matrix(data)
    options: dict[str, Any] = {}
    names = content.get("feature_names")
    if names is not None:
        options["feature_names"] = _names(names, values)
    elif values is not None:
        options["feature_names"] = [f"feature_{i}" for i in range(values.shape[1])]
    if content.get("model_names") is not None:
        options["model_names"] = _models(content["model_names"])
    if content.get("group") is not None:
        options["group"] = check_name(content["group"], "group")
    if content.get("promote") is not None:
        if not isinstance(content["promote"], bool):
            raise InputError("promote: must be true or false", field="promote")
        options["promote"] = content["promote"]
    return Training(values, dataset, options)


def _matrix(data: object) -> np.ndarray[Any, Any]:
    if not isinstance(data, list) or not data or not isinstance(data[0], list) or not data[0]:
        raise InputError("data: must be a list of rows of numbers", field="data")
    width = len(data[0])
    for place, row in enumerate(data):
        if not isinstance(row, list) or len(row) != width:
            raise InputError(f"data[{place}]: must hold {width} numbers", field=f"data[{place}]")
        if not set(map(type, row)) <= {float, int, type(None)}:
            raise InputError(f"data[{place}]: holds what is no number", field=f"data[{place}]")
    try:
        return np.array(data, dtype=np.float64)  # null becomes NaN: not measured
    except (ValueError, OverflowError):
        raise InputError("data: holds a number too large", field="data") from None


def _names(names: object, values: np.ndarray[Any, Any] | None) -> list[str]:
    if not isinstance(names, list) or not names:
        raise InputError("feature_names: must be a list of names", field="feature_names")
    checked = [check_name(name, "feature_names") for name in names]
    if len(set(checked)) != len(checked):
        raise InputError("feature_names: a name occurs twice", field="feature_names")
    if values is not None and len(checked) != values.shape[1]:
        raise InputError(
            f"feature_names: {len(checked)} names for {values.shape[1]} columns",
            field="feature_names",
        )
    return checked


def _models(names: object) -> list[str]:
    if not isinstance(names, list) or not names or any(n not in MODEL_NAMES for n in names):
        raise InputError(
            f"model_names: must be a list out of {', '.join(MODEL_NAMES)}", field="model_names"
        )
    return [name for name in MODEL_NAMES if name in names]
