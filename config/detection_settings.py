"""Settings of the detection: budgets of false alarms, events and incidents."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from config.section import MAX_S, Section
from schemas import CRITICALITIES

_MONTH_DAYS = 30  # budgets per asset and month count 30 days


class DetectionSettings(Section):
    """Budgets of false alarms and incidents, adaptation, and the life of events and incidents."""

    budget_critical: float = Field(1e-2, gt=0, lt=1)
    """false alarms per reading, asset criticality critical"""
    budget_high: float = Field(10**-2.5, gt=0, lt=1)
    """false alarms per reading, asset criticality high"""
    budget_medium: float = Field(1e-3, gt=0, lt=1)
    """false alarms per reading, asset criticality medium"""
    budget_low: float = Field(1e-4, gt=0, lt=1)
    """false alarms per reading, asset criticality low"""
    incident_budget_critical: float = Field(4, gt=0)
    """false incidents per asset and month (30 days, all streams of the asset), asset criticality
    critical"""
    incident_budget_high: float = Field(2, gt=0)
    """the same, asset criticality high"""
    incident_budget_medium: float = Field(1, gt=0)
    """the same, asset criticality medium"""
    incident_budget_low: float = Field(0.25, gt=0)
    """the same, asset criticality low"""
    incident_at_once_share: float = Field(0.1, ge=0, le=1)
    """share of the incident budget for incidents that a single rare reading opens at once; 0: every
    incident waits until the alarm has lasted"""
    incident_fleet_budget: float | None = Field(None, gt=0)
    """false incidents of the whole fleet per operator and day, distributed over FLEET_ASSETS in
    proportion to their own budgets; it can only reduce those. Unset: no fleet limit"""
    operator_positions: int = Field(1, ge=1, le=1000)
    """number of people who handle alarms at the same time"""
    fleet_assets: str = ""
    """number of assets per criticality for INCIDENT_FLEET_BUDGET, such as critical=2,medium=80"""
    adaptation: bool = True
    """adapt the tail of each stream to its own readings"""
    event_silence_s: float = Field(7200, gt=0, le=MAX_S)
    """an event ends after this time without readings of it"""
    reopen_gap_s: float = Field(0, ge=0, le=MAX_S)
    """a new event joins an incident that cleared at most this long ago; 0: the larger of 600 s and
    20 intervals of the stream"""
    incident_at_once: Literal["low", "medium", "high", "critical"] = "critical"
    """severity from which a reading journalled by REST opens an incident, if the bundle has no rule
    for it"""
    incident_close_after_s: float = Field(604_800, gt=0, le=MAX_S)
    """cleared and acknowledged incidents are closed after this time"""
    max_shelve_s: float = Field(604_800, gt=0, le=366 * 86_400)
    """maximum time for which an incident can be shelved"""
    feedback_raise: float = Field(0.5, ge=0, le=6)
    """each reported false alarm makes the peaks that open incidents of its asset this many decades
    rarer; 0: no effect"""
    feedback_raise_max: float = Field(2, ge=0, le=6)
    """maximum of the sum of these raises, in decades"""
    feedback_raise_days: int = Field(30, ge=1, le=3660)
    """days for which a raise lasts"""
    chatter_openings: int = Field(3, ge=2, le=1000)
    """a stream chatters if it alarms this often within CHATTER_SPAN_S"""
    chatter_span_s: float = Field(3600, gt=0, le=366 * 86_400)
    """time span of CHATTER_OPENINGS"""
    accept_shift_after: int = Field(0, ge=0)
    """consecutive readings beyond p = 1e-2 after which a persistent shift becomes the new normal;
    0: never"""
    persistent_after: int = Field(1000, ge=0, le=1_000_000)
    """readings of a shift after which its event is persistent and readings are compared with the
    steady new level; 0: never"""

    @field_validator("fleet_assets")
    @classmethod
    def _counts_by_criticality(cls, value: str) -> str:
        names = [part.split("=")[0].strip() for part in value.split(",")]
        like = r"(\s*(critical|high|medium|low)\s*=\s*\d{1,9}\s*(,|$))*"
        if not re.fullmatch(like, value) or len(set(names)) < len(names):
            raise ValueError("must be like critical=2,high=10,medium=80,low=5")
        return value

    @model_validator(mode="after")
    def _a_fleet_has_assets(self) -> DetectionSettings:
        if self.incident_fleet_budget is not None and not any(self._fleet().values()):
            raise ValueError(
                "INCIDENT_FLEET_BUDGET is set, so FLEET_ASSETS must give the number of assets"
            )
        return self

    def budgets(self) -> dict[str, float]:
        """Return the false-alarm budget (probability per reading) by criticality of the asset."""
        return {name: getattr(self, f"budget_{name}") for name in CRITICALITIES}

    def policy(self) -> dict[str, Any]:
        """Return the arguments of the ``ScoringPolicy`` that service and training use."""
        return {
            "budgets": self.budgets(),
            "adaptation": self.adaptation,
            "event_silence_s": self.event_silence_s,
            "accept_shift_after": self.accept_shift_after,
            "persistent_after": self.persistent_after,
            "incident_budgets": self.incident_budgets(),
            "incident_at_once": self.incident_at_once_share,
            "feedback_raise": self.feedback_raise,
            "feedback_raise_max": self.feedback_raise_max,
        }

    def incident_budgets(self) -> dict[str, float]:
        """Return the false incidents per asset and month, by criticality of the asset.

        If their sum exceeds the fleet's budget, all are reduced by one factor.
        """
        own: dict[str, float] = {
            name: getattr(self, f"incident_budget_{name}") for name in CRITICALITIES
        }
        if self.incident_fleet_budget is None:
            return own
        asked = sum(count * own[criticality] for criticality, count in self._fleet().items())
        allowed = self.incident_fleet_budget * self.operator_positions * _MONTH_DAYS
        return {name: budget * min(1.0, allowed / asked) for name, budget in own.items()}

    def _fleet(self) -> dict[str, int]:
        """Return the number of assets by criticality."""
        found = re.findall(r"(\w+)\s*=\s*(\d+)", self.fleet_assets)
        return {criticality: int(count) for criticality, count in found}
