"""Settings of an installation that turn scores into alarms and incidents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from models.scoring.alarms.bursts import (
    AT_ONCE,
    INCIDENT_BUDGETS,
    MAX_RAISED,
    RAISE,
    BurstRates,
    OpeningRule,
    raised_by,
)
from models.scoring.alarms.settling import PERSISTENT_AFTER
from models.scoring.magnitudes.tail import threshold_of

#: False alarms per reading by criticality of the asset.
BUDGETS: Final = {"critical": 1e-2, "high": 10**-2.5, "medium": 1e-3, "low": 1e-4}


@dataclass(frozen=True)
class ScoringPolicy:
    """Settings of the whole installation for alarms, adaptation and incidents.

    Parameters
    ----------
    budgets : false alarms per reading by criticality of the asset.
    adaptation : whether each stream's tail adapts to the stream.
    event_silence_s : seconds without an anomaly after which an event ends.
    accept_shift_after : consecutive readings beyond the gate after which their level becomes the
        new normal; all of them may alarm; 0: never.
    persistent_after : readings beyond the gate after which a stream settles at a steady new level
        and its event becomes persistent, see :mod:`models.scoring.alarms.settling`; 0: never.
    gap_factor : a pause longer than this many sampling intervals restarts the window; training's
        interval applies until the stream's own is known.
    incident_budgets : false incidents per asset and month by criticality of the asset.
    incident_at_once : share of these that may open at once; 0: all wait for the on-delay.
    feedback_raise, feedback_raise_max : decades, see
        :func:`~models.scoring.alarms.bursts.raised_by`.
    """

    budgets: Mapping[str, float] = field(default_factory=lambda: dict(BUDGETS))
    adaptation: bool = True
    event_silence_s: float = 7200.0
    accept_shift_after: int = 0
    persistent_after: int = PERSISTENT_AFTER
    gap_factor: float = 20.0
    incident_budgets: Mapping[str, float] = field(default_factory=lambda: dict(INCIDENT_BUDGETS))
    incident_at_once: float = AT_ONCE
    feedback_raise: float = RAISE
    feedback_raise_max: float = MAX_RAISED

    def threshold(self, criticality: str) -> float:
        """Return the alarm threshold of the score for an asset's criticality."""
        return threshold_of(self._budget(criticality))

    def raised(self, false_alarms: int) -> float:
        """Return the decades that reported false alarms add to an asset's incident thresholds."""
        return raised_by(false_alarms, self.feedback_raise, self.feedback_raise_max)

    def opening_rule(
        self, rates: BurstRates | None, criticality: str, raised: float = 0.0
    ) -> OpeningRule | None:
        """Return the rule that opens an asset's incidents; None: every event opens one.

        Parameters
        ----------
        rates
            How often normal operation makes bursts; None if unknown.
        criticality
            Criticality of the asset.
        raised
            Decades added to the required peaks, or without rates to the alarm threshold.
        """
        if rates is None:
            asked = raised - math.log10(self._budget(criticality))
            return OpeningRule(1, asked, math.inf) if raised else None
        usual = self.incident_budgets["medium"]
        budget = self.incident_budgets.get(criticality, usual)
        level = -math.log10(self._budget(criticality))
        return rates.rule(level, budget, self.incident_at_once, raised)

    def _budget(self, criticality: str) -> float:
        return self.budgets.get(criticality, self.budgets["medium"])
