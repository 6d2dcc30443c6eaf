"""The model sets that a training has fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.bundles.rules import Rule
from models.scoring.model_set import ModelSet
from training.evaluation.summary import Measures
from training.fitting.parallel_fit import Result, Task


@dataclass(slots=True)
class Fitted:
    """Fitted model sets of a training, in the order of its groups.

    ``sets``, ``twins`` and ``results`` may be read from disk on demand; ``notes`` are kept with the
    run.
    """

    tasks: Sequence[Task]
    results: Sequence[Result]
    sets: Mapping[str, ModelSet]
    twins: Mapping[str, ModelSet]
    measured: Mapping[str, Measures]
    fingerprint: dict[str, Any]
    rules: Sequence[Rule]
    notes: Sequence[str] = ()
