"""The REST API's own OpenAPI document (BentoML's shows only its own methods)."""

from __future__ import annotations

from typing import Any

import orjson

from serving import docs_examples as examples
from serving.auth import Role
from serving.routing import PREFIX

Json = dict[str, Any]

#: Swagger UI as BentoML ships it, so that the page works without the internet.
DOCS_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Anomaly detection</title>
<link rel="stylesheet" href="/static_content/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="/static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({{url: "{PREFIX}/openapi.json", dom_id: "#docs"}});</script>
</body></html>
""".encode()

TIME: Json = {"type": "string", "description": "ISO 8601; no offset means UTC", "maxLength": 64}
NAME: Json = {"type": "string", "minLength": 1, "maxLength": 255}
OPTIONAL_NAME: Json = {**NAME, "type": ["string", "null"]}
CRITICALITY: Json = {"type": "string", "enum": ["critical", "high", "medium", "low"]}


def ref(name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(required: list[str], **properties: Json) -> Json:
    """An object's schema."""
    return {"type": "object", "required": required, "properties": properties}


def array(items: Json, **more: Any) -> Json:
    """A list's schema."""
    return {"type": "array", "items": items, **more}


def schemas(max_items: int, max_features: int, max_history: int) -> Json:
    """The components; limits are those in force."""
    features = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": max_features,
        "propertyNames": NAME,
        "additionalProperties": {"type": "number"},
        "description": "numbers only: null, true and texts are refused",
    }
    reading = obj(["timestamp", "features"], timestamp=TIME, features=ref("Features"))
    compact = obj(
        ["names", "rows"],
        names=array(NAME),
        rows=array(array({"type": ["string", "number", "null"]})),
    )
    either = {"oneOf": [array(reading), compact]}
    result = obj(
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
    error = obj(
        ["error"],
        error=obj(
            ["code", "message"],
            code={"type": "string"},
            message={"type": "string"},
            field={"type": ["string", "null"]},
        ),
    )
    return {
        "Features": features,
        "Item": obj(
            ["asset_id", "features"],
            asset_id=NAME,
            sensor_id=OPTIONAL_NAME,
            features=ref("Features"),
            timestamp={**TIME, "type": ["string", "null"]},
            criticality={"enum": [*CRITICALITY["enum"], None]},
            history={
                "type": ["array", "null"],
                "items": ref("Features"),
                "maxItems": max_history,
                "description": "the stream's past readings, oldest first; wins over stored ones",
            },
            metadata={"type": ["object", "null"]},
        ),
        "Batch": array(ref("Item"), maxItems=max_items),
        "ModelScore": obj(
            ["model_name", "score", "threshold", "is_anomaly"],
            model_name={"type": "string"},
            score={"type": "number", "minimum": 0, "maximum": 1},
            threshold={"type": "number"},
            is_anomaly={"type": "boolean"},
        ),
        "Result": result,
        "Error": error,
        "Results": array({"anyOf": [ref("Result"), ref("Error")]}),
        "Streams": obj(
            ["streams"],
            echo={"type": "boolean", "default": True},
            streams=array(
                obj(
                    ["asset_id", "readings"],
                    asset_id=NAME,
                    sensor_id=OPTIONAL_NAME,
                    feature=OPTIONAL_NAME,
                    criticality={"enum": [*CRITICALITY["enum"], None]},
                    state={"type": ["object", "null"]},
                    window={"anyOf": [either, {"type": "null"}]},
                    readings=either,
                )
            ),
        ),
        "Training": {
            "type": "object",
            "description": "either data or dataset",
            "properties": {
                "data": array(array({"type": ["number", "null"]}, minItems=1), minItems=1),
                "feature_names": array(NAME),
                "dataset": {**NAME, "description": "a file under DATA_DIR, never a path"},
                "model_names": array(
                    {"enum": ["isolation_forest", "one_class_svm", "lstm_autoencoder"]}
                ),
                "group": NAME,
                "promote": {"type": "boolean"},
            },
        },
    }


def document(
    *, version: str, secured: bool, max_items: int, max_features: int, max_history: int
) -> bytes:
    """The document as JSON."""
    content: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Anomaly detection for industrial assets",
            "version": version,
            "description": examples.INTRODUCTION,
        },
        "paths": paths(secured),
        "components": {
            "schemas": schemas(max_items, max_features, max_history),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }
    return orjson.dumps(content)


def paths(secured: bool) -> Json:
    """All calls below the prefix, with examples of each answer."""
    result, results = {200: examples.RESULT}, {200: examples.RESULTS}
    calls: list[tuple[str, str, Role | None, Json]] = [
        ("/detect", "post", "detect", call("Score one reading", "Item", examples.ITEM, result,
            [400, 413, 422, 429, 503])),
        ("/detect/batch", "post", "detect", call(
            "Score many readings; a bad one costs only itself", "Batch", examples.BATCH, results,
            [400, 413, 422, 429, 503])),
        ("/detect/streams", "post", "detect", call(
            "Score streams with their states; stores nothing", "Streams", examples.STREAMS,
            {200: examples.STREAMS_ANSWER}, [400, 413, 422, 429, 503])),
        ("/train", "post", "train", call("Train a bundle", "Training", examples.TRAINING,
            {200: examples.TRAINED, 202: examples.QUEUED}, [400, 404, 413, 422, 429, 503],
            [query("wait", {"type": "boolean"})])),
        ("/train/{job}", "get", "read", call("A training job", None, None,
            {200: examples.JOB}, [404, 429, 503], [path_id("job")])),
        ("/status", "get", "read", call("What is loaded", None, None,
            {200: examples.STATUS}, [429])),
        ("", "get", "read", call("Stored detections, newest first", None, None,
            {200: examples.PAGE}, [422, 429, 503], history_parameters())),
        ("/{id}", "get", "read", call("One stored detection", None, None,
            {200: examples.STORED}, [404, 429, 503], [path_id("id")])),
        ("/metrics", "get", "read", call("Training runs out of MLflow", None, None,
            {200: examples.RUNS}, [422, 429, 503], [
                query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}),
                query("page", {"type": "string"}), query("model_name", {"type": "string"})])),
        ("/health", "get", None, call("Is the process alive", None, None,
            {200: examples.HEALTH}, [])),
    ]  # fmt: skip
    found: Json = {}
    for path, method, role, described in calls:
        if role is not None and secured:
            described["security"] = [{"bearer": []}, {"key": []}]
            described["description"] = f"needs a key with the role {role}"
            for status in (401, 403):
                described["responses"][str(status)] = refusal(status)
        found.setdefault(PREFIX + path, {})[method] = described
    return found


def call(
    summary: str,
    body: str | None,
    example: Any,
    answers: dict[int, Any],
    errors: list[int],
    parameters: list[Json] | None = None,
) -> Json:
    """One operation."""
    described: Json = {"summary": summary, "responses": {}}
    if parameters:
        described["parameters"] = parameters
    if body is not None:
        content = {"schema": ref(body), "example": example}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    schema = {"Item": ref("Result"), "Batch": ref("Results")}.get(body or "", {})
    for status, shown in answers.items():
        described["responses"][str(status)] = {
            "description": {200: "done", 202: "queued"}[status],
            "content": {"application/json": {"schema": schema, "example": shown}},
        }
    for status in errors:
        described["responses"][str(status)] = refusal(status)
    return described


def refusal(status: int) -> Json:
    """An error answer with its example."""
    code, message, field = examples.ERRORS[status]
    shown = {"error": {"code": code, "message": message, "field": field}}
    answer: Json = {
        "description": code,
        "content": {"application/json": {"schema": ref("Error"), "example": shown}},
    }
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return answer


def query(name: str, schema: Json) -> Json:
    """A parameter of the query."""
    return {"name": name, "in": "query", "required": False, "schema": schema}


def path_id(name: str) -> Json:
    """A UUID in the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def history_parameters() -> list[Json]:
    """Filters and paging of the history."""
    return [
        query("asset_id", NAME),
        query("sensor_id", NAME),
        query("start_date", TIME),
        query("end_date", TIME),
        query("is_anomaly", {"type": "string", "enum": ["true", "false", "any"]}),
        query("criticality", CRITICALITY),
        query("limit", {"type": "integer", "minimum": 1, "maximum": 5000, "default": 100}),
        query("offset", {"type": "integer", "minimum": 0}),
        query("cursor", {"type": "string"}),
    ]
