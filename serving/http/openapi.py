"""Write the REST API's own OpenAPI document (BentoML's shows only its own methods)."""

from __future__ import annotations

from typing import Any

import orjson

from serving.auth import Role
from serving.http import openapi_examples as examples
from serving.http.openapi_schemas import CRITICALITY, NAME, TIME, Json, ref, schemas
from serving.http.rest_app import PREFIX

#: Swagger UI as BentoML ships it, so that the page works without the internet.
DOCS_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Anomaly detection</title>
<link rel="stylesheet" href="/static_content/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="/static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({{url: "{PREFIX}/openapi.json", dom_id: "#docs"}});</script>
</body></html>
""".encode()


def document(
    *,
    version: str,
    secured: bool,
    max_items: int,
    max_features: int,
    max_history: int,
    more_paths: Json,
    more_schemas: Json,
) -> bytes:
    """Return the document as JSON, with paths and schemas of the API's other rooms."""
    content: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Anomaly detection for industrial assets",
            "version": version,
            "description": examples.INTRODUCTION,
        },
        "paths": {**paths(secured), **more_paths},
        "components": {
            "schemas": {**schemas(max_items, max_features, max_history), **more_schemas},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }
    return orjson.dumps(content)


def paths(secured: bool) -> Json:
    """Describe all calls below the prefix, with examples of each answer."""
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
        secure(described, role, secured)
        found.setdefault(PREFIX + path, {})[method] = described
    return found


def secure(described: Json, role: Role | None, secured: bool) -> Json:
    """Say of an operation what it asks of its caller."""
    if role is not None and secured:
        described["security"] = [{"bearer": []}, {"key": []}]
        described["description"] = f"needs a key with the role {role}"
        for status in (401, 403):
            described["responses"][str(status)] = refusal(status)
    return described


def call(
    summary: str,
    body: str | None,
    example: Any,
    answers: dict[int, Any],
    errors: list[int],
    parameters: list[Json] | None = None,
) -> Json:
    """Describe one operation."""
    described: Json = {"summary": summary, "responses": {}}
    if parameters:
        described["parameters"] = parameters
    if body is not None:
        content = {"schema": ref(body), "example": example}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    schema = {"Item": ref("Result"), "Batch": ref("Results")}.get(body or "", {})
    for status, shown in answers.items():
        described["responses"][str(status)] = {
            "description": {200: "done", 201: "added", 202: "queued"}[status],
            "content": {"application/json": {"schema": schema, "example": shown}},
        }
    for status in errors:
        described["responses"][str(status)] = refusal(status)
    return described


def refusal(status: int) -> Json:
    """Describe an error answer, with its example."""
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
    """Describe a parameter of the query."""
    return {"name": name, "in": "query", "required": False, "schema": schema}


def path_id(name: str) -> Json:
    """Describe a UUID in the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def history_parameters() -> list[Json]:
    """Describe the filters and the paging of the history."""
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
