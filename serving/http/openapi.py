"""Generate the REST API's OpenAPI document from its calls and their Structs.

BentoML's own document covers only BentoML's methods.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from config import Settings
from schemas import API_PREFIX
from serving.http.rest_app import Call
from serving.requests.detect import Item
from serving.requests.stream_request import ReadingBody
from serving.requests.wire import Instant
from serving.responses.detection_answers import (
    Error,
    Result,
    ResultOrError,
    StreamResult,
    StreamResultOrError,
)

Json = dict[str, Any]

INTRODUCTION = (
    "Scores readings of industrial assets on one calibrated scale: one normal reading in a hundred "
    "scores 0.3 or more, one in a thousand 0.5, one in ten thousand 0.7, one in a hundred thousand "
    "0.9. The alarm threshold depends on the asset's criticality."
)
#: Swagger UI as BentoML ships it, so that the page works without the internet.
DOCS_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Anomaly detection</title>
<link rel="stylesheet" href="/static_content/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="/static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({{url: "{API_PREFIX}/openapi.json", dom_id: "#docs"}});</script>
</body></html>
""".encode()
_REF = "#/components/schemas/{name}"
#: Schemas of types that msgspec does not describe.
_CUSTOM: dict[Any, Json] = {
    Instant: {
        "type": "string",
        "maxLength": 64,
        "description": "ISO 8601; no offset means UTC",
        "examples": ["2026-01-01T00:00:00+00:00"],
    },
    ResultOrError: {"anyOf": [{"$ref": _REF.format(name=n)} for n in ("Result", "Error")]},
    StreamResultOrError: {
        "anyOf": [{"$ref": _REF.format(name=n)} for n in ("StreamResult", "Error")]
    },
}
#: Types that other schemas refer to only by name.
_NAMED = (Result, StreamResult, Error, ReadingBody, Item)
_HEADERS = {
    "If-Match": "the version that the caller has seen",
    "Idempotency-Key": "chosen by the caller; a repeated request with the same key has no effect",
}
_DONE = {200: "done", 201: "added", 202: "queued"}
#: status -> code, message, field
_ERRORS: dict[int, tuple[str, str, str | None]] = {
    400: ("bad_json", "the body is not valid JSON: unexpected end of data", None),
    401: ("access_denied", "this call needs an API key", None),
    403: ("access_denied", "this key has the role read, but the call needs detect", None),
    404: ("not_found", "no detection 5a0a1d0e-21c6-5cb4-bb3c-0f7b2b6f5a10", None),
    409: ("closed", "incident 6f1c... was closed by ANNA: reopen it to acknowledge it", None),
    412: ("version_conflict", "incident 6f1c... is at version 3, not 2", "if-match"),
    413: ("body_too_large", "the body is larger than 33554432 bytes (MAX_BODY_BYTES)", None),
    422: ("bad_value", "features.rms: '1,5' is not a number", "features.rms"),
    429: ("busy", "256 requests are in flight, at most 256 (MAX_CONCURRENCY)", None),
    503: ("no_model", "no trained bundle is loaded yet: run 'python -m training.fit'", None),
}


def document(calls: Sequence[Call], *, version: str, secured: bool, settings: Settings) -> bytes:
    """Describe all calls that have a summary.

    Parameters
    ----------
    secured : bool
        Whether a caller needs a key.
    settings : Settings
        Limits of requests.
    """
    listed = [call for call in calls if call.summary]
    kinds = {
        kind: None
        for call in listed
        for kind in (call.query, call.body, *call.answers.values())
        if kind is not None
    }
    every = [*kinds, *_NAMED]
    described, components = msgspec.json.schema_components(
        every, schema_hook=_CUSTOM.__getitem__, ref_template=_REF
    )
    schemas = dict(zip(every, described, strict=True))
    _limit(components, schemas, settings)
    paths: Json = {}
    for call in listed:
        path = re.sub(r"{(\w+):name}", r"{\1}", call.path)
        paths.setdefault(path, {})[call.method.lower()] = _operation(
            call, schemas, components, secured
        )
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Anomaly detection for industrial assets",
                "version": version,
                "description": INTRODUCTION,
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                },
            },
        }
    )


def _limit(components: Json, schemas: dict[Any, Json], settings: Settings) -> None:
    """Add the limits of requests, which are settings."""
    item = components["Item"]["properties"]
    item["features"]["maxProperties"] = settings.max_features
    history = item["history"]["anyOf"][0]
    history["maxItems"] = settings.max_history
    history["items"]["maxProperties"] = settings.max_features
    if list[Item] in schemas:
        schemas[list[Item]]["maxItems"] = settings.max_batch_items


def _operation(call: Call, schemas: dict[Any, Json], components: Json, secured: bool) -> Json:
    """Describe a call: parameters, body, responses and errors."""
    described: Json = {"summary": call.summary, "responses": {}}
    names = re.findall(r"{(\w+)", call.path)
    parameters = [_parameter(name, "path", {"type": "string"}, required=True) for name in names]
    if call.query is not None:
        properties = components[call.query.__name__]["properties"]
        parameters += [_parameter(name, "query", schema) for name, schema in properties.items()]
    for name in call.headers:
        parameters.append(_parameter(name, "header", {"type": "string"}, _HEADERS[name]))
    if parameters:
        described["parameters"] = parameters
    if call.body is not None:
        described["requestBody"] = {"required": True, **_content(schemas[call.body], components)}
    if call.role is not None and secured:
        described["security"] = [{"bearer": []}, {"key": []}]
        described["description"] = f"needs a key with the role {call.role}"
    for status, kind in call.answers.items():
        answer = {"description": _DONE[status], **_content(schemas[kind], components)}
        described["responses"][str(status)] = answer
    for status in sorted(_statuses(call, secured)):
        described["responses"][str(status)] = _error(status)
    return described


def _statuses(call: Call, secured: bool) -> set[int]:
    """Return the error statuses of a call."""
    found = set(call.errors)
    if call.role is not None:
        found |= {429, 503}
        if secured:
            found |= {401, 403}
    if call.body is not None:
        found |= {400, 413, 422}
    if call.query is not None:
        found.add(422)
    if "{" in call.path:
        found |= {404, 422}
    return found


def _parameter(
    name: str, where: str, schema: Json, description: str = "", *, required: bool = False
) -> Json:
    found = {"name": name, "in": where, "required": required, "schema": schema}
    return {**found, "description": description} if description else found


def _content(schema: Json, components: Json) -> Json:
    return _json_content(schema, example(schema, components))


def _json_content(schema: Json, shown: Any) -> Json:
    return {"content": {"application/json": {"schema": schema, "example": shown}}}


def _error(status: int) -> Json:
    """Describe an error response, with an example."""
    code, message, field = _ERRORS[status]
    shown = {"error": {"code": code, "message": message, "field": field}}
    schema = {"$ref": _REF.format(name="Error")}
    answer: Json = {"description": code, **_json_content(schema, shown)}
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return answer


def example(schema: Json, components: Json) -> Any:
    """Build an example for a schema from the examples of its parts."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example(components[schema["$ref"].rpartition("/")[2]], components)
    for several in ("anyOf", "enum"):
        if several in schema:
            first = schema[several][0]
            return example(first, components) if several == "anyOf" else first
    if schema.get("default") is not None:
        return schema["default"]
    kind, properties = schema.get("type"), schema.get("properties", {})
    if kind == "object":
        return {name: example(one, components) for name, one in properties.items()}
    if kind == "array":
        return [example(schema["items"], components)] if schema.get("items") else []
    if schema.get("format") == "uuid":
        return "0b4fd1a5-3c86-57a2-8a3e-9c7a5f5f2f10"
    return {"number": 1.0, "integer": 1, "boolean": True, "string": "text"}.get(kind or "")
