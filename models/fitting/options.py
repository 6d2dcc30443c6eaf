"""Options of a fit: one frozen object, validated when it is created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (OSError, TypeError, ValueError, ZoneInfoNotFoundError):
        return False


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit; every field has a default that needs no labels.

    Parameters
    ----------
    models : names of the detectors to fit.
    window : readings in a window of the LSTM autoencoder.
    seed : of everything random.
    isolation_forest, one_class_svm, lstm_autoencoder : further arguments of the detectors.
    drift : "normal" (slow drift is tolerated), "fault" (drift is what to detect), or "auto".
    baseline : "auto", or number of first readings for a stream's own baseline; 0: no baseline.
    horizon : readings over which drift is tolerated; 0: drift is not tolerated; "auto": chosen on
        the data (:mod:`models.fitting.trials.tolerance`).
    condition : features that indicate operating conditions, as a list or with commas between them;
        "auto": searched in the data (:mod:`models.fitting.operation.condition_fit`); "none": a
        single condition.
    seasonality : "auto": readings are compared with what is usual at their time of the day or week
        if the data follow it (:mod:`models.fitting.seasonality_fit`), by the clock of UTC; a time
        zone: by its clock; "none": never.
    counters : "auto": features that only rise are replaced by their rate per hour
        (:mod:`models.fitting.counter_rates`); "none": their values are used.
    adaptation : "auto", or the step size of the adaptive tail; 0: no adaptation.
    missing : readings with missing features: "refuse", "impute" (at most ``max_imputed`` features),
        or "auto" (impute at most a tenth of the features, or one if there are five or more).
    max_imputed : maximum number of features imputed per reading with ``missing="impute"``.
    limits : feature -> physically possible (min, max); either may be None.
    watch_still : whether movements of features that stood still in training count.
    watch_stuck : whether values count that a feature repeats more often than in training.
    keep_labelled : whether to fit on readings labelled faulty too.
    trim : largest share of readings to leave out as unlabelled faults; 0: none.
    folds : folds of the out-of-fold calibration.
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
    seasonality: str = "auto"
    counters: str = "auto"
    adaptation: str | float = "auto"
    missing: str = "auto"
    max_imputed: int = 0
    limits: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    watch_still: bool | int = True
    watch_stuck: bool | int = True
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
        if self.seasonality not in ("auto", "none") and not _is_zone(self.seasonality):
            raise TrainingError(
                f"seasonality: {self.seasonality!r} is not auto, none or an IANA time zone such as"
                " Europe/Berlin"
            )
        if self.missing not in ("auto", "refuse", "impute"):
            raise TrainingError(f"missing: {self.missing!r} is not auto, refuse or impute")
        for name in ("horizon", "baseline"):
            given = getattr(self, name)
            if given != "auto" and not (isinstance(given, int) and given >= 0):
                raise TrainingError(f"{name}: {given!r} is neither auto nor a number from 0")
        rate = self.adaptation
        if rate != "auto" and not (isinstance(rate, int | float) and 0.0 <= rate < float("inf")):
            raise TrainingError(f"adaptation: {rate!r} is neither auto nor a number from 0")
        if not 0.0 <= self.trim <= 0.5:
            raise TrainingError(f"trim: {self.trim} does not lie between 0 and 0.5")
        if self.max_imputed < 0:
            raise TrainingError(f"impute: {self.max_imputed} is below 0")
        if not 0 <= self.seed < 2**32:
            raise TrainingError(f"seed: {self.seed} does not lie between 0 and {2**32 - 1}")
        if self.folds < 2:
            raise TrainingError(f"folds: {self.folds} is less than 2")
        for name in ("watch_still", "watch_stuck"):
            if getattr(self, name) not in (0, 1):
                raise TrainingError(f"{name}: {getattr(self, name)} is not 0 or 1")
        for name in MODEL_NAMES:
            self.detector(name)  # checks its arguments

    @property
    def indicators(self) -> tuple[str, ...]:
        """Return the features that are named as indicators of operating conditions."""
        if self.condition in ("auto", "none"):
            return ()
        named = self.condition
        return tuple(named.split(",") if isinstance(named, str) else named)

    def imputed(self, width: int) -> int:
        """Return how many features to impute per reading at most, of ``width`` features."""
        if self.missing == "auto":
            return max(width // 10, int(width >= 5))
        return self.max_imputed if self.missing == "impute" else 0

    def detector(self, name: str, decided: Mapping[str, Any] | None = None) -> Detector:
        """Create an unfitted detector.

        ``decided`` are parameters chosen on the data; parameters given by the user take precedence.

        Raises
        ------
        TrainingError
            A parameter is invalid.
        """
        given = {"seed": self.seed, **(decided or {}), **getattr(self, name)}
        if name == LSTM_AUTOENCODER:
            given = {"window": self.window, **given}
        try:
            return DETECTORS[name](**given)
        except (TypeError, ValueError) as error:
            raise TrainingError(f"{name}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the options ready for JSON."""
        out = asdict(self)
        out["models"] = list(self.models)
        out["limits"] = {name: list(pair) for name, pair in self.limits.items()}
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FitOptions:
        """Read what :meth:`to_dict` returned; unknown options are ignored."""
        known = {option.name for option in fields(cls)}
        given = {name: value for name, value in data.items() if name in known}
        return cls(**{**given, "models": tuple(data.get("models", MODEL_NAMES))})
