"""Responses about models."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from serving.responses.detection_answers import Version
from serving.responses.training_answers import Job


class RegisteredVersion(Struct):
    """A registered bundle; ``aliases`` says whether it is champion or challenger."""

    version: Version
    created_at: Annotated[str, Meta(examples=["2026-01-01T00:00:00+00:00"])]
    aliases: Annotated[list[str], Meta(examples=[["champion"]])]
    run_id: Annotated[str | None, Meta(examples=["f00d"])]
    tags: Annotated[dict[str, str], Meta(examples=[{"verdict": "not worse than the champion"}])]


class DescribedVersion(RegisteredVersion):
    """A version with the figures of its groups, or the reason why they cannot be read."""

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
    """The present and the previous champion."""

    champion: Version
    previous: Version | None


class Jobs(Struct):
    """Training jobs, newest first."""

    jobs: list[Job]
