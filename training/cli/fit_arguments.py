"""Define every hyper-parameter of a fit, as command-line option and as key of a config file.

A config file is TOML. Its keys are the options' names with ``_`` for ``-``, at the top level or in
any table (table names are ignored, except ``limits``)::

    seed = 7
    [one_class_svm]
    nu = 0.05
    [limits]
    temperature = [-40, 200]

The command line takes precedence over the file, and the file over the defaults. An unknown key is
an error.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from errors import TrainingError
from models.detectors.base import ISOLATION_FOREST, LSTM_AUTOENCODER, MODEL_NAMES, ONE_CLASS_SVM
from models.fitting.options import DETECTORS, FitOptions
from training.cli.text_files import read_document


@dataclass(frozen=True, slots=True)
class Parameter:
    """One hyper-parameter: field ``field`` of a detector, or of the fit if ``detector`` is None."""

    option: str
    detector: str | None
    field: str
    kind: Callable[[str], Any]
    help: str

    @property
    def key(self) -> str:
        """Return the key in a config file."""
        return self.option.replace("-", "_")


def auto_or(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a parser that also accepts the word ``auto``."""

    def parse(text: str) -> Any:
        return text if text == "auto" else kind(text)

    parse.__name__ = f"auto or {kind.__name__}"
    return parse


def count(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def share(text: str) -> float:
    """Parse a share in [0, 1)."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value


def gamma(text: str) -> float | str:
    """Parse the kernel width: ``scale`` or a number."""
    return text if text == "scale" else float(text)


PARAMETERS: tuple[Parameter, ...] = (
    Parameter("trees", ISOLATION_FOREST, "n_trees", int, "trees of the Isolation Forest (100)"),
    Parameter("tree-rows", ISOLATION_FOREST, "max_samples", int, "training rows per tree (256)"),
    Parameter("nu", ONE_CLASS_SVM, "nu", float, "share of training rows outside the SVM (0.1)"),
    Parameter("gamma", ONE_CLASS_SVM, "gamma", gamma, "kernel width: scale, or a number (scale)"),
    Parameter(
        "svm-rows", ONE_CLASS_SVM, "max_rows", int,
        "maximum number of rows to fit the SVM on: its cost grows with their square (2000)",
    ),
    Parameter("window", None, "window", int, "readings in a window of the LSTM (30)"),
    Parameter("hidden", LSTM_AUTOENCODER, "hidden", int, "LSTM units, a multiple of 4 (32)"),
    Parameter("code", LSTM_AUTOENCODER, "code", int, "bottleneck width (half the features, 2..8)"),
    Parameter("epochs", LSTM_AUTOENCODER, "epochs", int, "maximum number of epochs (12)"),
    Parameter("batch-size", LSTM_AUTOENCODER, "batch_size", int, "windows in a mini-batch (128)"),
    Parameter(
        "learning-rate", LSTM_AUTOENCODER, "learning_rate", float, "peak rate of Adam (0.015)"
    ),
    Parameter(
        "patience", LSTM_AUTOENCODER, "patience", int,
        "epochs without a better validation loss before stopping (5)",
    ),
    Parameter("clip", LSTM_AUTOENCODER, "clip", float, "bound at which inputs are clipped (10)"),
    Parameter("max-windows", LSTM_AUTOENCODER, "max_windows", int, "windows per epoch (10000)"),
    Parameter("device", LSTM_AUTOENCODER, "device", str, "auto, cpu or cuda (auto)"),
    Parameter("drift", None, "drift", str, "normal, fault, or auto: is slow drift a fault? (auto)"),
    Parameter(
        "baseline", None, "baseline", auto_or(int),
        "number of first readings for a stream's own baseline; 0: no baseline (auto)",
    ),
    Parameter(
        "horizon", None, "horizon", auto_or(int),
        "readings over which slow drift is tolerated; 0: not tolerated (auto)",
    ),
    Parameter(
        "condition", None, "condition", str,
        "features that indicate operating conditions, such as op1,op2: each condition has its own"
        " normal values; auto: search the data; none: a single condition (auto)",
    ),
    Parameter(
        "seasonality", None, "seasonality", str,
        "auto: compare readings with what is usual at their time of the day or week if the data"
        " follow it, by the clock of --time-zone or of UTC; ZONE: by another clock, such as"
        " Europe/Berlin; none: with what is usual at all times (auto)",
    ),
    Parameter(
        "counters", None, "counters", str,
        "auto: replace features that only rise, such as operating hours, by their rate per hour;"
        " none: use their values (auto)",
    ),
    Parameter(
        "watch-still", None, "watch_still", int,
        "1: movements of features that stood still in training count as rare; 0: ignored (1)",
    ),
    Parameter(
        "watch-stuck", None, "watch_stuck", int,
        "1: a value repeated reading after reading, as by a stuck sensor, counts as rare if it was"
        " in training; 0: ignored (1)",
    ),
    Parameter(
        "trim", None, "trim", float,
        "largest share of readings to leave out as unlabelled faults; 0: none (0.15)",
    ),
    Parameter(
        "adaptation", None, "adaptation", auto_or(float),
        "step size of the adaptive tail; 0: no adaptation (auto)",
    ),
    Parameter("folds", None, "folds", int, "folds of the out-of-fold calibration (5)"),
    Parameter("seed", None, "seed", int, "random seed; the same seed gives the same bundle (0)"),
    Parameter(
        "impute", None, "max_imputed", int,
        "maximum number of missing features per reading to impute from the others; 0: refuse such"
        " readings (a tenth of the features; one if there are 5 to 9)",
    ),
)  # fmt: skip

#: Small sizes, to try things out.
QUICK: Mapping[str, Any] = {
    "trees": 50, "svm_rows": 600, "hidden": 16, "epochs": 3, "max_windows": 2000, "folds": 3,
}  # fmt: skip


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the hyper-parameters and ``--config``, ``--models``, ``--limit``, ``--quick``."""
    group = parser.add_argument_group("hyper-parameters (defaults in brackets)")
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML file of these options")
    group.add_argument(
        "--models", type=_names, metavar="NAME,...", help=f"detectors ({','.join(MODEL_NAMES)})"
    )
    for parameter in PARAMETERS:
        group.add_argument(
            f"--{parameter.option}",
            type=parameter.kind,
            metavar=parameter.key.upper(),
            help=parameter.help,
        )
    group.add_argument(
        "--limit", action="append", type=_limit, metavar="FEATURE=MIN:MAX", default=[],
        help="physical limits of a feature; either side may be empty",
    )  # fmt: skip
    group.add_argument(
        "--keep-labelled", action="store_true",
        help="also fit on readings labelled faulty, which are left out by default",
    )  # fmt: skip
    group.add_argument("--quick", action="store_true", help="small sizes, to try things out")


def add_procedure_arguments(parser: argparse.ArgumentParser, *, refuse: str, auto: str) -> None:
    """Add ``--missing``, ``--holdout``, ``--no-refit`` and ``--promote``.

    Parameters
    ----------
    parser : receives the options.
    refuse : help for ``--missing refuse``: what happens on a missing value.
    auto : help for ``--promote auto``: when the bundle becomes champion.
    """
    parser.add_argument(
        "--missing", choices=("drop", "refuse"), default="drop",
        help=f"readings that lack a value: leave them out, or {refuse} (drop)",
    )  # fmt: skip
    parser.add_argument(
        "--holdout", type=share, default=0.2, metavar="SHARE",
        help="newest share of the readings to hold out for evaluation (0.2)",
    )  # fmt: skip
    parser.add_argument(
        "--no-refit", action="store_true",
        help="do not fit again on all readings after the evaluation",
    )  # fmt: skip
    parser.add_argument(
        "--promote", choices=("auto", "true", "false"), default="auto",
        help=f"make the bundle champion: {auto}, always, or never (auto); the first bundle is"
        " champion in any case",
    )  # fmt: skip


def fit_options(arguments: argparse.Namespace) -> FitOptions:
    """Return the options: command line, config file, ``--quick``, defaults, in this precedence.

    Raises
    ------
    TrainingError
        The file cannot be read, or holds an unknown key or an invalid value, which is named.
    """
    chosen: dict[str, Any] = dict(QUICK) if arguments.quick else {}
    limits: dict[str, Any] = {}
    if arguments.config is not None:
        found = read_config(arguments.config)
        limits = found.pop("limits", {})
        chosen |= found
    for key in ("models", *(parameter.key for parameter in PARAMETERS)):
        if getattr(arguments, key) is not None:
            chosen[key] = getattr(arguments, key)
    limits |= dict(arguments.limit)
    options = build(chosen, limits)
    return replace(options, keep_labelled=True) if arguments.keep_labelled else options


def build(chosen: Mapping[str, Any], limits: Mapping[str, Any] | None = None) -> FitOptions:
    """Create :class:`FitOptions` from options by key."""
    fields: dict[str, Any] = {}
    for parameter in PARAMETERS:
        if parameter.key not in chosen:
            continue
        value = chosen[parameter.key]
        if parameter.detector is None:
            fields[parameter.field] = value
        else:
            fields.setdefault(parameter.detector, {})[parameter.field] = value
        _check(parameter, value)
    if chosen.get("impute") is not None:
        fields["missing"] = "impute" if chosen["impute"] else "refuse"
    if chosen.get("models") is not None:
        fields["models"] = tuple(m for m in MODEL_NAMES if m in chosen["models"]) or ("none",)
        unknown = [m for m in chosen["models"] if m not in MODEL_NAMES]
        if unknown:
            raise TrainingError(f"models: {unknown[0]!r} is not one of {', '.join(MODEL_NAMES)}")
    for name, (low, high) in (limits or {}).items():
        # written so that NaN fails as well
        if not (-math.inf if low is None else low) < (math.inf if high is None else high):
            raise TrainingError(f"limits: {name}: {low} is not below {high}", field=name)
    return FitOptions(**fields, limits=dict(limits or {}))


def _check(parameter: Parameter, value: Any) -> None:
    """Refuse a value that a detector does not take, under the option's name."""
    detector = LSTM_AUTOENCODER if parameter.field == "window" else parameter.detector
    if detector is None:
        return
    try:
        DETECTORS[detector](**{parameter.field: value})
    except (TypeError, ValueError) as error:
        why = str(error).removeprefix(f"{parameter.field} ")
        raise TrainingError(f"{parameter.key}: {why}", field=parameter.key) from None


def read_config(path: Path) -> dict[str, Any]:
    """Read a config file as one flat mapping; ``limits`` stays a table.

    Raises
    ------
    TrainingError
        Names the file and the key.
    """
    content = read_document(path)
    if not isinstance(content, dict):
        raise TrainingError(f"{path}: expected options by name")
    limits = content.pop("limits", {})
    if not isinstance(limits, dict):
        raise TrainingError(
            f"{path}: limits: expected a table of FEATURE = [min, max]", field="limits"
        )
    flat: dict[str, Any] = {}
    for name, found in content.items():
        table = found if isinstance(found, dict) else {name: found}
        for key in table.keys() & flat.keys():
            raise TrainingError(f"{path}: {key}: is given twice", field=key)
        flat |= table
    kinds = {"models": list, **{parameter.key: parameter.kind for parameter in PARAMETERS}}
    for key, value in flat.items():
        if key not in kinds:
            raise TrainingError(f"{path}: unknown key {key!r}", field=key)
        flat[key] = _value(path, key, value, kinds[key])
    if limits:
        flat["limits"] = {name: _pair(path, name, pair) for name, pair in limits.items()}
    return flat


def _value(path: Path, key: str, value: Any, kind: Any) -> Any:
    """Parse a value as the command line would."""
    if kind is list:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return value
        raise TrainingError(f"{path}: {key}: expected a list of names", field=key)
    try:
        return kind(str(value))
    except ValueError:
        raise TrainingError(f"{path}: {key}: {value!r} is no {kind.__name__}", field=key) from None


def _pair(path: Path, name: str, pair: object) -> list[float | None]:
    # TOML has no null, so an empty string means "no limit on this side"
    if not isinstance(pair, list) or len(pair) != 2:
        raise TrainingError(f"{path}: limits.{name}: expected [min, max]", field=f"limits.{name}")
    try:
        return [None if side == "" else float(side) for side in pair]
    except (TypeError, ValueError):
        raise TrainingError(
            f"{path}: limits.{name}: {pair} are not two numbers", field=f"limits.{name}"
        ) from None


def _limit(text: str) -> tuple[str, list[float | None]]:
    name, _, pair = text.rpartition("=")
    low, colon, high = pair.partition(":")
    if not name or not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not FEATURE=MIN:MAX")
    try:
        return name, [float(low) if low else None, float(high) if high else None]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
