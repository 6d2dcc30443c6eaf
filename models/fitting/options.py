"""Choose how a model set is fitted: one frozen object of options, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from errors import TrainingError
from models.detectors.base import (
    ISOLATION_FOREST,
    LSTM_AUTOENCODER,
    MODEL_NAMES,
    ONE_CLASS_SVM,
    Detector,
)
from models.detectors.isolation_forest import IsolationForest
from models.detectors.lstm_autoencoder import LSTMAutoencoder
from models.detectors.one_class_svm import OneClassSVM

DETECTORS: dict[str, type[Detector]] = {
    ISOLATION_FOREST: IsolationForest,
    ONE_CLASS_SVM: OneClassSVM,
    LSTM_AUTOENCODER: LSTMAutoencoder,
}


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit; every field has a default that needs no labels.

    Parameters
    ----------
    models : detectors to fit, of MODEL_NAMES.
    window : readings the LSTM autoencoder looks at.
    seed : of everything.
    isolation_forest, one_class_svm, lstm_autoencoder : further arguments of the detectors.
    drift : "normal" (slow drift is tolerated), "fault" (it is what to find), or "auto".
    baseline : "auto", or how many first readings make a stream's own baseline; 0: none.
    horizon : readings over which tolerated drift is carried on; 0: none is tolerated; "auto":
        decided on the data (:mod:`models.fitting.tolerance`).
    condition : features whose values indicate operating conditions, each with its own normal;
        "auto": found on the data (:mod:`models.fitting.condition_fit`), "none": one normal for all.
    counters : "auto": features that only rise are used as their rate per hour
        (:mod:`models.fitting.counter_rates`); "none": as any other.
    adaptation : "auto", or the step of the adaptive tail; 0: none.
    missing : readings that lack features: "refuse", "impute" (from those that are there, at most
        ``max_imputed``), or "auto": impute a tenth of the features, at least one of five.
    limits : feature -> (min, max) that are physically possible; either may be None.
    watch_still : whether a feature that stood still in training is rare when it moves.
    keep_labelled : whether readings labelled faulty are fitted on as well.
    trim : share of the readings that may be left out as faults that nobody labelled; 0: none.
    folds : blocks for the out-of-fold calibration.
    """

    models: tuple[str, ...] = MODEL_NAMES
    window: int = 30
    seed: int = 0
    isolation_forest: Mapping[str, Any] = field(default_factory=dict)
    one_class_svm: Mapping[str, Any] = field(default_factory=dict)
    lstm_autoencoder: Mapping[str, Any] = field(default_factory=dict)
    drift: str = "auto"
    baseline: str | int = "auto"
    horizon: str | int = "auto"
    condition: str | Sequence[str] = "auto"
    counters: str = "auto"
    adaptation: str | float = "auto"
    missing: str = "auto"
    max_imputed: int = 0
    limits: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    watch_still: bool | int = True
    keep_labelled: bool = False
    trim: float = 0.15
    folds: int = 5

    def __post_init__(self) -> None:
        unknown = set(self.models) - set(MODEL_NAMES)
        if unknown or not self.models:
            raise TrainingError(f"models: {sorted(unknown)} not among {list(MODEL_NAMES)}")
        if self.drift not in ("auto", "normal", "fault"):
            raise TrainingError(f"drift: {self.drift!r} is not auto, normal or fault")
        if self.counters not in ("auto", "none"):
            raise TrainingError(f"counters: {self.counters!r} is not auto or none")
        if self.missing not in ("auto", "refuse", "impute"):
            raise TrainingError(f"missing: {self.missing!r} is not auto, refuse or impute")
        if self.horizon != "auto" and not (isinstance(self.horizon, int) and self.horizon >= 0):
            raise TrainingError(f"horizon: {self.horizon!r} is neither auto nor a number from 0")
        if not 0.0 <= self.trim <= 0.5:
            raise TrainingError(f"trim: {self.trim} does not lie between 0 and 0.5")
        if self.folds < 2:
            raise TrainingError(f"folds: {self.folds} is less than 2")

    def imputed(self, width: int) -> int:
        """Return how many of ``width`` features a reading may lack and still be used."""
        if self.missing == "auto":
            return max(width // 10, int(width >= 5))
        return self.max_imputed if self.missing == "impute" else 0

    def detector(self, name: str, decided: Mapping[str, Any] | None = None) -> Detector:
        """Make an unfitted detector.

        ``decided`` are parameters that the data decided; those given by the user come first.

        Raises
        ------
        TrainingError
            If one of its parameters is wrong.
        """
        given = {"seed": self.seed, **(decided or {}), **getattr(self, name)}
        if name == LSTM_AUTOENCODER:
            given = {"window": self.window, **given}
        try:
            return DETECTORS[name](**given)
        except (TypeError, ValueError) as error:
            raise TrainingError(f"{name}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        out = asdict(self)
        out["models"] = list(self.models)
        out["limits"] = {name: list(pair) for name, pair in self.limits.items()}
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FitOptions:
        """Read what :meth:`to_dict` returned; options that are not known are ignored."""
        known = {option.name for option in fields(cls)}
        given = {name: value for name, value in data.items() if name in known}
        return cls(**{**given, "models": tuple(data.get("models", MODEL_NAMES))})
