"""Describe the shapes of requests and answers, as the OpenAPI document's components."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

TIME: Json = {"type": "string", "description": "ISO 8601; no offset means UTC", "maxLength": 64}
NAME: Json = {"type": "string", "minLength": 1, "maxLength": 255}
OPTIONAL_NAME: Json = {**NAME, "type": ["string", "null"]}
CRITICALITY: Json = {"type": "string", "enum": ["critical", "high", "medium", "low"]}
OPTIONAL_CRITICALITY: Json = {"enum": [*CRITICALITY["enum"], None]}


def ref(name: str) -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(required: list[str], **properties: Json) -> Json:
    """Return an object's schema."""
    return {"type": "object", "required": required, "properties": properties}


def array(items: Json, **more: Any) -> Json:
    """Return a list's schema."""
    return {"type": "array", "items": items, **more}


MODEL_SCORE = obj(
    ["model_name", "score", "threshold", "is_anomaly"],
    model_name={"type": "string"},
    score={"type": "number", "minimum": 0, "maximum": 1},
    threshold={"type": "number"},
    is_anomaly={"type": "boolean"},
)
RESULT = obj(
    ["asset_id", "timestamp", "scores", "final_score", "threshold", "is_anomaly", "metadata"],
    asset_id=NAME,
    sensor_id=OPTIONAL_NAME,
    timestamp=TIME,
    scores=array(ref("ModelScore")),
    final_score={"type": "number", "minimum": 0, "maximum": 1},
    p={"type": "number", "description": "probability of such a magnitude when all is normal"},
    threshold={"type": "number"},
    is_anomaly={"type": "boolean"},
    criticality=CRITICALITY,
    features=ref("Features"),
    metadata={"type": "object"},
)
ERROR = obj(
    ["error"],
    error=obj(
        ["code", "message"],
        code={"type": "string"},
        message={"type": "string"},
        field={"type": ["string", "null"]},
    ),
)
#: Readings of a stream in either form.
READINGS: Json = {
    "oneOf": [
        array(obj(["timestamp", "features"], timestamp=TIME, features=ref("Features"))),
        obj(
            ["names", "rows"],
            names=array(NAME),
            rows=array(array({"type": ["string", "number", "null"]})),
        ),
    ]
}
STREAM = obj(
    ["asset_id", "readings"],
    asset_id=NAME,
    sensor_id=OPTIONAL_NAME,
    feature=OPTIONAL_NAME,
    criticality=OPTIONAL_CRITICALITY,
    state={"type": ["object", "null"]},
    window={"anyOf": [READINGS, {"type": "null"}]},
    readings=READINGS,
)
TRAINING: Json = {
    "type": "object",
    "description": "either data or dataset",
    "properties": {
        "data": array(array({"type": ["number", "null"]}, minItems=1), minItems=1),
        "feature_names": array(NAME),
        "dataset": {**NAME, "description": "a file under DATA_DIR, never a path"},
        "model_names": array({"enum": ["isolation_forest", "one_class_svm", "lstm_autoencoder"]}),
        "group": NAME,
        "promote": {"type": "boolean"},
    },
    "additionalProperties": False,
}


def schemas(max_items: int, max_features: int, max_history: int) -> Json:
    """Return the components; limits are those in force."""
    return {
        "Features": features(max_features),
        "Item": item(max_history),
        "Batch": array(ref("Item"), maxItems=max_items),
        "ModelScore": MODEL_SCORE,
        "Result": RESULT,
        "Error": ERROR,
        "Results": array({"anyOf": [ref("Result"), ref("Error")]}),
        "Streams": obj(
            ["streams"], echo={"type": "boolean", "default": True}, streams=array(STREAM)
        ),
        "Training": TRAINING,
    }


def features(most: int) -> Json:
    """Return the schema of a reading's features."""
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": most,
        "propertyNames": NAME,
        "additionalProperties": {"type": "number"},
        "description": "numbers only: null, true and texts are refused",
    }


def item(max_history: int) -> Json:
    """Return the schema of a reading as ``/detect`` takes it."""
    return obj(
        ["asset_id", "features"],
        asset_id=NAME,
        sensor_id=OPTIONAL_NAME,
        features=ref("Features"),
        timestamp={**TIME, "type": ["string", "null"]},
        criticality=OPTIONAL_CRITICALITY,
        history={
            "type": ["array", "null"],
            "items": ref("Features"),
            "maxItems": max_history,
            "description": "the stream's past readings, oldest first; wins over stored ones",
        },
        metadata={"type": ["object", "null"]},
    )
