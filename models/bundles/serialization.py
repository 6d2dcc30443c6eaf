"""Write one model set to a folder and read it back: JSON and npz, never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from errors import BundleError
from models.detectors.base import MODEL_NAMES
from models.fitting.options import DETECTORS
from models.scoring.alarms.bursts import BurstRates
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.magnitudes.adaptation import AdaptationParams
from models.scoring.magnitudes.calibration import Calibration
from models.scoring.model_set import ModelSet

#: File of a model set with everything except the detectors.
MODEL_SET: Final = "model_set.json"


def describe(model_set: ModelSet) -> dict[str, Any]:
    """Describe a group's models for ``/status``, under all three detector names."""
    common = {
        "trained_at": model_set.trained_at,
        "n_features": len(model_set.feature_names),
        "feature_names": list(model_set.feature_names),
        "trained_on": {k: model_set.trained_on.get(k) for k in ("start", "end", "readings")},
        "not_watched": model_set.power.get("not_watched"),
    }
    nothing: dict[str, Any] = {"trained_at": None, "n_features": 0, "feature_names": []}
    out: dict[str, Any] = {}
    for name in MODEL_NAMES:
        held = model_set.detectors.get(name)
        out[name] = {"is_trained": held is not None, **(common if held else nothing)}
        if held is not None:
            out[name]["window"] = held.window
    return out


def save_model_set(model_set: ModelSet, folder: Path) -> None:
    """Write one model set into ``folder``."""
    folder.mkdir(parents=True)
    for detector in model_set.detectors.values():
        detector.save(folder)
    content = {
        "preprocessing": model_set.preprocessing.to_dict(),
        "detectors": list(model_set.names),
        "calibrations": {key: cal.to_dict() for key, cal in model_set.calibrations.items()},
        "adaptation": model_set.adaptation.to_dict(),
        "options": model_set.options,
        "trained_at": model_set.trained_at,
        "figures": model_set.figures,
        "profile": model_set.profile,
        "incidents": model_set.bursts.to_dict() if model_set.bursts else None,
        "trained_on": model_set.trained_on,
        "power": model_set.power,
    }
    write_json(folder / MODEL_SET, content)


def load_model_set(folder: Path) -> ModelSet:
    """Read back what :func:`save_model_set` wrote.

    Raises
    ------
    BundleError
    """
    content = read_json(folder / MODEL_SET)
    try:
        return ModelSet(
            Preprocessing.from_dict(content["preprocessing"]),
            {name: DETECTORS[name].load(folder) for name in content["detectors"]},
            {k: Calibration.from_dict(cal) for k, cal in content["calibrations"].items()},
            AdaptationParams.from_dict(content.get("adaptation") or {}),
            content.get("options") or {},
            content.get("trained_at") or "",
            content.get("figures") or {},
            content.get("profile") or {},
            content.get("trained_on") or {},
            content.get("power") or {},
            bursts=BurstRates.from_dict(rates) if (rates := content.get("incidents")) else None,
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise BundleError(f"{folder}: not a model set: {error!r}") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as JSON; infinities and NaN raise ValueError."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    BundleError
        The file is missing, damaged, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path}: not an object")
    return content
