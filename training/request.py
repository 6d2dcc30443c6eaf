"""What a training is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.fitting.options import FitOptions
from models.scoring.maintenance.suppression import Suppression
from training.data.sources import TrainingData


@dataclass(slots=True)
class Request:
    """What to train and how.

    Parameters
    ----------
    data, options : training data and hyper-parameters.
    group_by, groups_file : how to group the streams; neither: one group.
    as_champion : use the champion's groups and their options (training jobs); of ``options``
        only the models count then.
    only : retrain only this group of the champion, and carry the others over.
    missing : "drop" or "refuse", see :mod:`training.data.preparation`.
    holdout : share of the newest readings to hold out for evaluation.
    refit : whether to fit again on all readings after the evaluation, for serving.
    promote : "auto", "true" or "false".
    jobs : parallel fits; as many as cores if None.
    native : also log the detectors in MLflow's native flavours.
    recipe : how to read the same data again; stored with the version for later comparisons.
    quality : data quality (:mod:`training.data.quality`), logged with the run.
    confirm : called just before an alias moves; an exception from it ends the training.
    suppression : maintenance windows and off conditions whose readings are left out.
    """

    data: TrainingData
    options: FitOptions
    group_by: str | None = None
    groups_file: Path | None = None
    as_champion: bool = False
    only: str | None = None
    missing: str = "drop"
    holdout: float = 0.2
    refit: bool = True
    promote: str = "auto"
    jobs: int | None = None
    native: bool = True
    recipe: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] | None = None
    confirm: Callable[[], None] = lambda: None
    suppression: Suppression = field(default_factory=Suppression)
