"""Fitting a whole bundle: one model set for each group of streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from errors import TrainingError
from models.bundles.bundle import Bundle, Rule
from models.detectors.base import Array, Progress
from models.fitting.model_set_fit import FitOptions, FitReport, fit_model_set


@dataclass(slots=True)
class GroupData:
    """Normal readings of one group: one entry a stream, as ``fit_model_set`` takes them."""

    values: Sequence[Array]
    timestamps: Sequence[NDArray[np.datetime64]] | None
    feature_names: Sequence[str]
    options: FitOptions | None = None  # None: the bundle's


def fit_bundle(
    groups: Mapping[str, GroupData],
    rules: Sequence[Rule] = (),
    options: FitOptions | None = None,
    progress: Progress | None = None,
) -> tuple[Bundle, dict[str, FitReport]]:
    """Fit every group; nothing is kept unless all of them succeed.

    ``progress`` is called with ``group/stage``.

    Raises
    ------
    TrainingError
        Names the group and the problem.
    """
    sets, reports = {}, {}
    for group, data in groups.items():

        def tell(
            stage: str, done: int, total: int, figures: dict[str, float], group: str = group
        ) -> None:
            if progress is not None:
                progress(f"{group}/{stage}", done, total, figures)

        try:
            sets[group], reports[group] = fit_model_set(
                data.values, data.timestamps, data.feature_names, data.options or options, tell
            )
        except TrainingError as error:
            raise TrainingError(f"group {group!r}: {error.message}", field=error.field) from error
    return Bundle(sets, rules), reports
