"""Answers about the fleet and the models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from schemas import Criticality
from serving.requests.wire import AssetId, Instant
from serving.responses.detection_answers import Score, Version
from serving.responses.training_answers import Job

Step = Literal["anomaly", "maintenance", "off", "warming_up", "normal", "silent"]


class AssetLane(Struct):
    """One asset: by step its state, its worst score, and how severe what alarms is."""

    asset_id: AssetId
    last_timestamp: Instant | None
    states: Annotated[list[Step], Meta(examples=[["normal", "anomaly", "silent"]])]
    scores: Annotated[list[Score | None], Meta(examples=[[0.1, 0.83, None]])]
    severities: Annotated[list[Criticality | None], Meta(examples=[[None, "high", None]])]


class FleetLanes(Struct):
    """Every asset in steps ``start + n * step_s``; the span is widened to whole steps."""

    start: Instant
    end: Instant
    step_s: Annotated[int, Meta(examples=[1800])]
    assets: list[AssetLane]


class RegisteredVersion(Struct):
    """A bundle that was registered; ``aliases`` says whether it is champion or challenger."""

    version: Version
    created_at: Annotated[str, Meta(examples=["2026-01-01T00:00:00+00:00"])]
    aliases: Annotated[list[str], Meta(examples=[["champion"]])]
    run_id: Annotated[str | None, Meta(examples=["f00d"])]
    tags: Annotated[dict[str, str], Meta(examples=[{"verdict": "not worse than the champion"}])]


class DescribedVersion(RegisteredVersion):
    """A version with what is known of each of its groups, or why that cannot be read."""

    groups: Annotated[
        dict[str, dict[str, Any]],
        Meta(
            examples=[
                {
                    "default": {
                        "feature_names": ["rms"], "readings": 12000, "not_watched": [],
                        "power": {"rms": {"step 6 sd": 1.0}}, "held_out": {"alarm_rate": 0.001},
                    }
                }
            ]
        ),
    ] = {}  # fmt: skip
    problem: str | None = None


class Models(Struct):
    """Registered versions, newest first; champion and challenger with their figures."""

    versions: list[RegisteredVersion]
    champion: DescribedVersion | None
    challenger: DescribedVersion | None


class Promoted(Struct):
    """Which version is champion now, and which was before."""

    champion: Version
    previous: Version | None


class Jobs(Struct):
    """Training jobs, newest first."""

    jobs: list[Job]
