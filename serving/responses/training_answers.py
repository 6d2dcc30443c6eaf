"""Responses of training."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from db.queries.training_jobs import JobState
from serving.requests.wire import Instant
from serving.responses.detection_answers import Model, Problem, Version


class Trained(Struct):
    """Result of training one detector."""

    model_name: Model
    status: Literal["success", "error"]
    message: Annotated[str, Meta(examples=["trained on 1,000 readings"])]
    metrics: Annotated[dict[str, Any], Meta(examples=[{"fit_seconds": 1.3}])]
    model_version: Version | None


class TrainAnswer(Struct):
    """Results of training, per requested detector."""

    isolation_forest: Trained | None = None
    one_class_svm: Trained | None = None
    lstm_autoencoder: Trained | None = None


class Job(Struct):
    """A training job."""

    job: UUID
    state: JobState
    ahead: Annotated[int | None, Meta(examples=[1], description="jobs queued before it")] = None
    progress: Annotated[
        dict[str, Any] | None,
        Meta(examples=[{"stage": "lstm_autoencoder", "done": 3, "total": 20}]),
    ] = None
    result: TrainAnswer | None = None
    error: Problem | None = None
    created_at: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None


class Runs(Struct):
    """Training runs in MLflow, newest first."""

    enabled: bool
    runs: Annotated[
        list[dict[str, Any]], Meta(examples=[[{"run_id": "f00d", "metrics": {"fit_seconds": 1.3}}]])
    ] = []
    next_page: str | None = None
    message: str | None = None
