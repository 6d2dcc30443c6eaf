"""Examples for the OpenAPI document, of the shape the service really answers with."""

from __future__ import annotations

from typing import Any

INTRODUCTION = (
    "Scores readings of industrial assets on one calibrated scale: 0.3 is met once in a hundred "
    "normal readings, 0.5 once in a thousand, 0.7 once in ten thousand, 0.9 once in a hundred "
    "thousand. The threshold follows from the asset's criticality."
)
ITEM: dict[str, Any] = {
    "asset_id": "ENGINE_001",
    "sensor_id": "S1",
    "features": {"rms": 1.2, "kurtosis": 3.1},
    "timestamp": "2026-01-01T00:00:00Z",
    "history": [{"rms": 1.1, "kurtosis": 3.0}, {"rms": 1.15, "kurtosis": 3.05}],
    "metadata": {"source": "gateway-7"},
}
BATCH = [
    {"asset_id": "ENGINE_001", "features": {"rms": 1.2, "kurtosis": 3.1}},
    {"asset_id": "ENGINE_002", "features": {"rms": None}},
]
METADATA: dict[str, Any] = {
    "window": "added",
    "group": "default",
    "bundle_version": "3",
    "asset_criticality": "medium",
    "source": "gateway-7",
    "stored": False,
}
RESULT: dict[str, Any] = {
    "asset_id": "ENGINE_001",
    "sensor_id": "S1",
    "timestamp": "2026-01-01T00:00:00+00:00",
    "scores": [
        {
            "model_name": "isolation_forest",
            "score": 0.12,
            "threshold": 0.5,
            "is_anomaly": False,
            "p": 0.08,
            "criticality": "low",
        }
    ],
    "final_score": 0.12,
    "p": 0.08,
    "threshold": 0.5,
    "is_anomaly": False,
    "criticality": "low",
    "features": {"rms": 1.2, "kurtosis": 3.1},
    "metadata": METADATA,
}
RESULTS = [
    RESULT,
    {
        "error": {
            "code": "bad_value",
            "message": "features.rms: None is not a number",
            "field": "[1].features.rms",
        }
    },
]
STREAMS: dict[str, Any] = {
    "echo": False,
    "streams": [
        {
            "asset_id": "ENGINE_001",
            "sensor_id": "S1",
            "feature": None,
            "criticality": "high",
            "state": None,
            "window": {"names": ["rms"], "rows": [["2026-01-01T00:00:00+00:00", 1.2]]},
            "readings": {"names": ["rms"], "rows": [["2026-01-01T00:01:00+00:00", 1.3]]},
        }
    ],
}
STREAMS_ANSWER: dict[str, Any] = {
    "bundle_version": "3",
    "streams": [
        {
            "results": [
                {k: v for k, v in RESULT.items() if k not in ("asset_id", "sensor_id", "features")}
            ],
            "state": {"bundle": "3", "last": "2026-01-01T00:01:00+00:00"},
            "window_length": 29,
        }
    ],
}
TRAINING: dict[str, Any] = {
    "data": [[1.2, 3.1], [1.1, 3.0]],
    "feature_names": ["rms", "kurtosis"],
    "model_names": ["isolation_forest"],
}
TRAINED = {
    "isolation_forest": {
        "model_name": "isolation_forest",
        "status": "success",
        "message": "trained on 1,000 readings",
        "metrics": {"fit_seconds": 1.3},
        "model_version": "4",
    }
}
JOB_ID = "0b6f3c52-7a3f-4b0e-9a55-0d0a3f1c2e11"
QUEUED = {"job": JOB_ID, "state": "queued", "ahead": 1}
JOB = {
    "job": JOB_ID,
    "state": "running",
    "progress": {"stage": "lstm_autoencoder", "done": 3, "total": 20},
    "result": None,
    "error": None,
}
MODEL = {
    "is_trained": True,
    "version": "3",
    "trained_at": "2026-01-01T00:00:00+00:00",
    "n_features": 2,
    "feature_names": ["rms", "kurtosis"],
    "trained_on": {
        "start": "2025-12-01T00:00:00.000000",
        "end": "2025-12-31T23:59:00.000000",
        "readings": 44640,
    },
    "not_watched": ["kurtosis"],
}
STATUS = {
    "ready": True,
    "bundle_version": "3",
    "models": {
        "isolation_forest": MODEL,
        "one_class_svm": MODEL,
        "lstm_autoencoder": {**MODEL, "is_trained": False},
    },
}
STORED = {"id": "5a0a1d0e-21c6-5cb4-bb3c-0f7b2b6f5a10", **RESULT}
PAGE = {
    "anomalies": [STORED],
    "total": 1,
    "limit": 100,
    "offset": 0,
    "filters": {"asset_id": "ENGINE_001", "is_anomaly": True},
    "next_cursor": None,
}
RUNS = {
    "enabled": True,
    "runs": [{"run_id": "f00d", "metrics": {"fit_seconds": 1.3}}],
    "next_page": None,
}
HEALTH = {"status": "healthy", "service": "detection-anomalies-service", "version": "0.1.0"}
#: status -> code, message, field
ERRORS: dict[int, tuple[str, str, str | None]] = {
    400: ("bad_json", "the body is not valid JSON: unexpected end of data", None),
    401: ("access_denied", "this call needs an API key", None),
    403: ("access_denied", "this key has the role read, the call needs detect", None),
    404: ("not_found", "no detection 5a0a1d0e-21c6-5cb4-bb3c-0f7b2b6f5a10", None),
    409: ("closed", "incident 6f1c... was closed by ANNA: reopen it to acknowledge it", None),
    412: (
        "version_conflict",
        "incident 6f1c... is at version 3, not 2: acknowledged by ANNA at 2026-01-01 06:12:00Z",
        "if-match",
    ),
    413: ("body_too_large", "the body is larger than 33554432 bytes (MAX_BODY_BYTES)", None),
    422: ("bad_value", "features.rms: None is not a number", "features.rms"),
    429: ("busy", "256 requests are in flight, at most 256 (MAX_CONCURRENCY)", None),
    503: ("no_model", "no trained bundle is loaded yet: run 'python -m training.fit'", None),
}
