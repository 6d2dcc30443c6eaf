"""Responses of detection, history, status and health."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from schemas import Criticality
from serving.requests.wire import AssetId, Features, Instant, Name

Score = Annotated[float, Meta(ge=0, le=1, examples=[0.12])]
Threshold = Annotated[float, Meta(examples=[0.5])]
Chance = Annotated[
    float | None,
    Meta(description="probability of such a magnitude in normal operation", examples=[0.08]),
]
Model = Annotated[str, Meta(examples=["isolation_forest"])]
Version = Annotated[str, Meta(examples=["3"])]
Person = Annotated[str | None, Meta(examples=["ANNA"])]
Total = Annotated[int, Meta(ge=0, examples=[1])]


class Problem(Struct):
    """Description of an error."""

    code: Annotated[str, Meta(examples=["bad_value"])]
    message: Annotated[str, Meta(examples=["features.rms: '1,5' is not a number"])]
    field: Annotated[str | None, Meta(examples=["[1].features.rms"])]


class Error(Struct):
    """An error; in a list it takes the place of the failed result."""

    error: Problem
    metadata: dict[str, Any] | None = None


class ModelScore(Struct):
    """Result of one detector."""

    model_name: Model
    score: Score
    threshold: Threshold
    is_anomaly: bool
    p: Chance = None
    criticality: Criticality | None = None


class _Scored(Struct, kw_only=True):
    timestamp: Instant
    scores: list[ModelScore]
    final_score: Score
    p: Chance = None
    threshold: Threshold
    is_anomaly: bool
    criticality: Criticality
    metadata: Annotated[
        dict[str, Any],
        Meta(examples=[{"group": "default", "bundle_version": "3", "asset_criticality": "medium"}]),
    ]


class Result(_Scored, kw_only=True):
    """A reading's result."""

    asset_id: AssetId
    sensor_id: Name | None = None
    features: Features


class StreamResult(_Scored, kw_only=True):
    """A result without the fields that ``"echo": false`` omits."""

    asset_id: AssetId | None = None
    sensor_id: Name | None = None
    timestamp: Instant | None = None  # type: ignore[assignment]
    features: Features | None = None


class ResultOrError:
    """A result, or the error in its place."""


class StreamResultOrError:
    """A stream's result, or the error in its place."""


class StreamAnswer(Struct):
    """A stream's results, one per reading, and its state after them."""

    results: list[StreamResultOrError]
    state: dict[str, Any] | None
    window_length: Annotated[int, Meta(examples=[29])]


class StreamsAnswer(Struct):
    """Response of ``/detect/streams``, with streams in the request's order."""

    bundle_version: Version
    streams: list[StreamAnswer]


class StoredResult(Result, kw_only=True):
    """A stored result, with the further columns of the contract's table."""

    id: UUID
    # the table's column may be empty: others write into it, too
    threshold: Annotated[float | None, Meta(examples=[0.5])]  # type: ignore[assignment]


class Page(Struct):
    """A page of the history."""

    anomalies: list[StoredResult]
    total: Total
    limit: Annotated[int, Meta(examples=[100])]
    offset: Annotated[int, Meta(examples=[0])]
    filters: Annotated[dict[str, Any], Meta(examples=[{"asset_id": "ENGINE_001"}])]
    next_cursor: str | None
    total_is_exact: Annotated[bool, Meta(description="false: an estimate, over 10,000")] = True


class ModelStatus(Struct):
    """State of a loaded detector."""

    is_trained: bool
    version: Version | None
    trained_at: Instant | None
    n_features: Annotated[int | None, Meta(examples=[2])]
    feature_names: Annotated[list[str], Meta(examples=[["rms", "kurtosis"]])]
    trained_on: dict[str, Any] | None = None
    not_watched: list[str] | None = None


class Models(Struct):
    """A group's detectors."""

    isolation_forest: ModelStatus
    one_class_svm: ModelStatus
    lstm_autoencoder: ModelStatus


class Status(Struct):
    """State of the service and its bundle."""

    ready: bool
    models: Annotated[Models, Meta(description="of the default, or first, group")]
    bundle_version: Version | None
    source: Annotated[str | None, Meta(description="where it came from", examples=["registry"])]
    loaded_at: Instant | None
    problem: Annotated[str | None, Meta(description="why a newer bundle is not loaded")]
    drift: Annotated[dict[str, Any], Meta(description="stored readings against training data")]
    precision: Annotated[dict[str, Any], Meta(description="of incidents, by feedback, per group")]
    database: Annotated[dict[str, Any], Meta(examples=[{"available": True, "problem": None}])]
    groups: Annotated[dict[str, Models] | None, Meta(description="if there are several")] = None
    warning: Annotated[str | None, Meta(description="if anyone can call the service")] = None


class Health(Struct):
    """The process is alive."""

    status: Annotated[str, Meta(examples=["healthy"])]
    service: Annotated[str, Meta(examples=["detection-anomalies-service"])]
    version: Annotated[str, Meta(examples=["0.1.0"])]
