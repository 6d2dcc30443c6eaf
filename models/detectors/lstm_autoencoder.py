"""Detect by LSTM autoencoder: fitted by PyTorch, scored by a Numba kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from errors import TrainingError
from models.arrays import Floats
from models.detectors.base import (
    LSTM_AUTOENCODER,
    Array,
    Detector,
    Progress,
    bounded,
    number,
    shares,
    whole_number,
)
from models.detectors.covariance import missing_variance
from models.detectors.error_size import ErrorSize
from models.detectors.forecast import RIDGE, fit_forecast, forecast
from models.detectors.lstm_kernel import reconstruct_last
from models.detectors.lstm_training import Ends, split, thin

_KERNEL = (
    "encoder_in",
    "encoder_bias",
    "encoder_hidden",
    "code_weight",
    "code_bias",
    "decoder_in",
    "decoder_bias",
    "out_weight",
    "out_bias",
)
_CLIP = 1e150  # so that squares do not overflow
_WEIGHT = 5.0**0.5  # the logarithm flattens squared errors below about a tenth
_MAX_ERRORS = 20_000  # windows that the size of errors is fitted on
_FORECAST = "forecast_"  # prefix of the forecast's stored arrays


class LSTMAutoencoder(Detector):
    """Score the errors in reconstructing and in forecasting the newest reading.

    Detects values that do not fit the previous readings or the other features, even if each value
    alone is common. It has no score for the first ``window - 1`` readings of a stream and is weak
    where normal operation changes its pattern. The encoder sees values clipped to ``clip``; the
    error uses the unclipped value, so the magnitude is unbounded.

    The error e of the last reading is measured relative to the covariance S of such errors in
    normal operation, ``t = e' S^-1 e / d``, which is about 1 on normal data (Malhotra et al. do
    the same). Errors common to all features then count little, and an error of one feature much;
    of one among many by :class:`models.detectors.error_size.ErrorSize`.
    There are two errors. The network reconstructs the reading from a code that contains it. A
    linear forecast uses the ``lags`` readings before it only (:mod:`models.detectors.forecast`).
    The forecast also follows values far beyond the training range, where the network's units
    saturate, and it shows what is new in a reading.
    The magnitude is ``log(1 + 5 (t_network + t_forecast))``. It ranks like the sum, but the
    logarithm keeps one absurd value from dominating later averages.

    Parameters
    ----------
    window : int
        Readings in a window, including the scored one; 2 to 1000.
    hidden : int
        LSTM units of encoder and decoder, a multiple of 4. Cost grows with the square.
    code : int or None
        Width of the bottleneck. If it is too wide, faults are reconstructed instead of detected.
        None: half the number of features, at least 2 and at most 8.
    epochs, batch_size, learning_rate, patience : int, int, float, int
        Training stops after ``patience`` epochs without a better validation loss. The learning
        rate rises to ``learning_rate`` over the first tenth of the steps, then falls to 0.
    focus : float
        Share of the loss on the last reading; the rest is on the whole window.
    denoise : float
        Share of values masked in training, so that the network learns how features depend on one
        another instead of copying (Vincent et al. 2008).
    clip : float
        Scaled readings are clipped to ``[-clip, clip]`` in training and for the encoder.
    max_windows : int
        Maximum number of windows per epoch, drawn again for each epoch, so that the time does not
        grow with the data.
    lags : int
        Past readings that the forecast uses, fewer than ``window``; 0: no forecast, and the
        magnitude is ``sqrt(t_network)``, as in model sets of early releases.
    penalty : float
        Ridge penalty of the forecast, in readings of noise as large as the readings.
    device : str
        Where to train: "auto" (CUDA if available), "cpu" or "cuda". Scoring is on the CPU.
    seed : int
        Seed of the weights and of the order of the windows.

    Attributes
    ----------
    history : list of dict
        ``epoch``, ``train_loss`` and ``val_loss`` (mean Huber loss) of each epoch.

    References
    ----------
    Malhotra et al.: LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection. ICML
    Anomaly Detection Workshop 2016.
    Srivastava, Mansimov, Salakhutdinov: Unsupervised Learning of Video Representations using
    LSTMs. ICML 2015.
    Vincent, Larochelle, Bengio, Manzagol: Extracting and Composing Robust Features with
    Denoising Autoencoders. ICML 2008.
    Hochreiter, Schmidhuber: Long Short-Term Memory. Neural Computation 9, 1997.
    Smith, Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates. Artificial Intelligence and Machine Learning for Multi-Domain Operations, 2019.
    """

    name = LSTM_AUTOENCODER
    ONCE: ClassVar = {"lags": 0, "penalty": RIDGE}

    def __init__(
        self,
        *,
        window: int = 30,
        hidden: int = 32,
        code: int | None = None,
        epochs: int = 12,
        batch_size: int = 128,
        learning_rate: float = 0.015,
        patience: int = 5,
        focus: float = 0.5,
        denoise: float = 0.2,
        clip: float = 10.0,
        max_windows: int = 10_000,
        lags: int = 5,
        penalty: float = RIDGE,
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        self.window = whole_number("window", window, 2, 1000)
        self.hidden = whole_number("hidden", hidden, 4, 1024)
        if self.hidden % 4:
            raise ValueError(f"hidden must be a multiple of 4, got {hidden}")
        self.code = code if code is None else whole_number("code", code, 1, 1024)
        self.epochs = whole_number("epochs", epochs, 1, 10_000)
        self.batch_size = whole_number("batch_size", batch_size, 1, 100_000)
        self.learning_rate = number("learning_rate", learning_rate, 1e-8, 1.0)
        self.patience = whole_number("patience", patience, 1, 10_000)
        self.focus = number("focus", focus, 0.0, 1.0)
        self.denoise = number("denoise", denoise, 0.0, 0.9)
        self.clip = number("clip", clip, 1.0, 1e6)
        self.max_windows = whole_number("max_windows", max_windows, 1, 10_000_000)
        self.lags = min(whole_number("lags", lags, 0, 999), self.window - 1)
        self.penalty = number("penalty", penalty, 1e-6, 1e6)
        if device != "auto" and not str(device).startswith(("cpu", "cuda")):
            raise ValueError(f'device must be "auto", "cpu" or "cuda", got {device!r}')
        self.device = device
        self.seed = whole_number("seed", seed, 0, 2**32 - 1)
        self.history: list[dict[str, float]] = []

    def fit(self, streams: list[Array], *, progress: Progress | None = None) -> Self:
        """Fit on normal data; see :meth:`Detector.fit`.

        Raises
        ------
        TrainingError
            No stream is as long as the window, or a value is not finite.
        """
        # imported here: a process that only scores then does not need PyTorch
        from models.detectors.lstm_network import train

        rows = self.stack(streams)
        training, validation = split([len(s) for s in streams], self.window)
        if not len(training):
            raise TrainingError(f"{self.name}: no stream has {self.window} readings in a row")
        validation = thin(validation if len(validation) else training, self.max_windows // 4)

        def report(epoch: int, figures: dict[str, float]) -> None:
            if progress is not None:
                progress(self.name, epoch, self.epochs, figures)

        single = np.empty(rows.shape, np.float32)  # filled in place: rows may be many
        np.clip(rows, -self.clip, self.clip, out=single, casting="same_kind")
        self._weights, self.history = train(single, training, validation, self, report)
        ends = thin(np.sort(np.concatenate([training, validation])), _MAX_ERRORS)
        errors = rows[ends] - self._reconstruct(rows, ends)
        self._errors = ErrorSize.of(errors, missing_variance(rows))
        self._fit_forecast([np.asarray(s, np.float64) for s in streams], rows, ends)
        self.warm()
        return self

    def _fit_forecast(self, streams: list[Floats], rows: Floats, ends: Ends) -> None:
        """Fit the forecast's weights and the covariance of its errors on ``rows[ends]``."""
        self._weights_ahead: Floats | None = None
        if not self.lags:
            return
        fitted = fit_forecast(streams, self.lags, self.clip, self.penalty)
        self._weights_ahead = fitted.weights
        errors = fitted.errors(rows, ends)
        self._forecast_errors = ErrorSize.of(errors, np.zeros(rows.shape[1]))

    def code_of(self, features: int) -> int:
        """Return the width of the bottleneck for a number of features."""
        return min(8, max(2, features // 2)) if self.code is None else self.code

    def score(self, x: Array) -> Floats:
        """Return the magnitude of the last reading per window; see :meth:`Detector.score`.

        A view of consecutive windows, as ``sliding_window_view`` returns, is recognised and costs
        less; the scores are the same.
        """
        sizes = [size for _, _, size in self._guesses(*self._unroll(x))]
        if len(sizes) == 1:
            return sizes[0]
        # log(1 + 5 (own^2 + new^2)), computed without squares, which could overflow
        magnitude: Floats = 2.0 * np.log(np.hypot(1.0, _WEIGHT * np.hypot(*sizes)))
        return magnitude

    def explain(self, x: Array) -> Floats:
        """Return each feature's share in the error; see :meth:`Detector.explain`."""
        readings, ends = self._unroll(x)
        found = self._guesses(readings, ends)
        parts = [
            shares(errors.covariance.contributions(readings[ends] - guess))
            for guess, errors, _ in found
        ]
        if len(parts) == 1:
            return parts[0]
        largest = np.maximum(np.maximum(found[0][2], found[1][2]), 1e-300)
        own, new = ((size / largest) ** 2 for _, _, size in found)
        return shares(own[:, None] * parts[0] + new[:, None] * parts[1])

    def network(self) -> Any:
        """Return the fitted network as a PyTorch module, in evaluation mode."""
        from models.detectors.lstm_network import restore

        return restore(self._weights, self.clip)

    def save(self, folder: Path) -> None:
        """Write the weights; see :meth:`Detector.save`."""
        arrays = {**self._weights, **self._errors.arrays()}
        if self._weights_ahead is not None:
            arrays[_FORECAST + "weights"] = self._weights_ahead
            arrays |= self._forecast_errors.arrays(_FORECAST)
        self.write(folder, arrays, history=self.history)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the weights; see :meth:`Detector.load`."""
        detector, arrays, facts = cls.read(folder)
        detector._errors = ErrorSize.from_arrays(arrays)
        detector._weights = {key: arrays[key] for key in (*_KERNEL, "decoder_hidden")}
        detector.history = facts["history"]
        detector._weights_ahead = arrays.get(_FORECAST + "weights")
        if detector._weights_ahead is not None:
            detector._forecast_errors = ErrorSize.from_arrays(arrays, _FORECAST)
        detector.warm()
        return detector

    def _guesses(self, readings: Floats, ends: Ends) -> list[tuple[Any, ErrorSize, Floats]]:
        """Return the reconstruction of the newest readings, and their forecast if there is one.

        Returns
        -------
        (guess, errors, size) : (n, d) values, normal errors, (n,) sizes of the errors
        """
        own = (self._reconstruct(readings, ends), self._errors)
        guesses: list[tuple[Any, ErrorSize]] = [own]
        if self._weights_ahead is not None:
            ahead = forecast(readings, ends, self._weights_ahead)
            guesses.append((ahead, self._forecast_errors))
        return [(guess, errors, errors.measure(readings, ends, guess)) for guess, errors in guesses]

    def _reconstruct(self, readings: Floats, ends: Ends) -> NDArray[np.float32]:
        weights = (self._weights[key] for key in _KERNEL)
        return reconstruct_last(readings, ends, self.window, self.clip, *weights)

    def _unroll(self, x: Array) -> tuple[Floats, Ends]:
        """Return windows (n, w, d) as readings (m, d) and the row at which each window ends."""
        x = np.asarray(x)
        if x.ndim == 3 and x.shape[1:] == (self.window, self.n_features) and len(x) > 1:
            apart, step, _ = x.strides
            if apart == step:  # a sliding view: row i + 1 of one window is row i of the next
                rows = np.concatenate([x[0], x[1:, -1]])
                self.check_finite(rows)
                return bounded(rows, _CLIP), np.arange(len(x)) + self.window - 1
        x = self.check(x).reshape(-1, self.n_features)
        ends = np.arange(self.window - 1, len(x), self.window, dtype=np.int64)
        return bounded(x, _CLIP), ends
