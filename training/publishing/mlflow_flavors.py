"""Log the detectors as scikit-learn and PyTorch models, in MLflow's native flavours.

Nothing is pickled: scikit-learn models are stored with skops, the network as a ``torch.export``
program. The input of a scikit-learn model is ``Detector.coordinates`` of scaled readings, that of
the network windows of scaled readings. Serving uses the bundle, never these models.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.arrays import Times
from models.detectors.base import LSTM_AUTOENCODER, Array, Detector
from models.fitting.operation.condition_fit import restate
from models.fitting.reading_times import epoch_seconds
from models.fitting.seasonality_fit import find_seasonality
from models.scoring.model_set import ModelSet

#: The only type that skops must be configured to trust: scikit-learn's trees.
TRUSTED = ["sklearn.tree._tree.Tree"]
_SAMPLE = 200  # rows whose scores are compared


def scaled_rows(
    model_set: ModelSet,
    names: Sequence[str],
    values: Sequence[Array],
    timestamps: Sequence[Times] | None = None,
) -> list[Array]:
    """Return training readings as scaled rows, the detectors' input.

    Parameters
    ----------
    model_set
        Gives the preprocessing.
    names
        Columns of the values.
    values
        One array (n, d) per stream, in own units; NaN where a value is missing.
    timestamps
        Their times (n,), if known.
    """
    pre = model_set.preprocessing
    at = [list(names).index(name) for name in pre.names]
    received = [np.asarray(stream[:, at], np.float64) for stream in values]
    if timestamps is None:
        seconds = [np.full(len(stream), np.nan) for stream in received]
    else:
        seconds = [epoch_seconds(times) for times in timestamps]
    whole = [pre.imputed(stream, of) for stream, of in zip(received, seconds, strict=True)]
    streams = restate(pre.conditions, whole)
    if pre.seasonality is not None:  # the fit compared readings with other days than their own
        zone, options = pre.seasonality.zone, model_set.options
        streams = find_seasonality(
            streams, timestamps, pre.names, zone, options["seed"], options["trim"]
        ).restate(streams, timestamps)
    out: list[Array] = []
    for stream in streams:
        rows = pre.scaled(stream)
        if pre.baseline:
            rows = rows - rows[: pre.baseline].mean(axis=0)
        out.append(rows)
    return out


def library_of(detector: Detector, rows: list[Array]) -> Any | None:
    """Return the fitted scikit-learn object of a point detector; None if its scores differ.

    A detector does not keep this object, so it is fitted again with the same rows and seed, and
    the scores are compared.
    """
    kept: list[Any] = []

    class Keeping(type(detector)):  # type: ignore[misc]
        def _adopt(self, library: Any) -> None:
            kept.append(library)
            super()._adopt(library)

    twin = Keeping(**detector.params).fit(rows)
    sample = rows[0][:_SAMPLE]
    if not kept or not np.allclose(twin.score(sample), detector.score(sample), atol=1e-9):
        return None
    return kept[0].detector_


def log_point_detector(detector: Detector, rows: list[Array]) -> str | None:
    """Log a point detector in the sklearn flavour; return the model's URI, or None."""
    import mlflow

    library = library_of(detector, rows)
    if library is None:
        return None
    example = detector.coordinates(rows[0][:5])  # type: ignore[attr-defined]
    info = mlflow.sklearn.log_model(
        library,
        name=detector.name,
        signature=mlflow.models.infer_signature(example, library.decision_function(example)),
        pip_requirements=["scikit-learn", "skops"],
        skops_trusted_types=TRUSTED,
    )
    return str(info.model_uri)


def log_network(model_set: ModelSet) -> str:
    """Log the autoencoder's network in the pytorch flavour; return the model's URI."""
    import mlflow
    import torch

    class Windows(torch.nn.Module):  # type: ignore[misc]
        # a wrapper, since exported programs reserve the attribute ``code``, which the network has
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, windows: Any) -> Any:
            return self.network(windows)

    detector: Any = model_set.detectors[LSTM_AUTOENCODER]
    example = np.zeros((2, detector.window, len(model_set.feature_names)), np.float32)
    with warnings.catch_warnings():
        # torch.export warns about how nn.LSTM stores its weights
        warnings.simplefilter("ignore")
        info = mlflow.pytorch.log_model(
            Windows(detector.network()).eval(),
            name=LSTM_AUTOENCODER,
            signature=mlflow.models.infer_signature(example, example),
            input_example=example,
            pip_requirements=["torch"],
            serialization_format="pt2",
        )
    return str(info.model_uri)
