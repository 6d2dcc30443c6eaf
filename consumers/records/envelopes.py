"""What JSON that is no reading is instead, recognised by its keys: other systems' envelopes."""

from __future__ import annotations

from typing import Any

from consumers.records.framing import LOOK, Framing, encoded, is_base64

_CDC = ("op", "after")
_READING = frozenset({"features", "asset_id"})


def of_document(document: Any) -> Framing | None:
    """Return the format of JSON that is no reading, or None when it is not known."""
    if isinstance(document, str):
        return _of_string(document)
    if isinstance(document, list):
        return Framing("array", f"a JSON array of {len(document)}; one record, one reading")
    if not isinstance(document, dict):
        return None
    payload = document.get("payload")
    inner = payload if isinstance(payload, dict) else {}
    if all(key in document for key in _CDC) or all(key in inner for key in _CDC):
        return Framing("debezium", "a change event of Debezium; send its row alone (unwrap it)")
    if "schema" in document and "payload" in document:
        return Framing(
            "connect",
            "an envelope of Kafka Connect (schema, payload); set schemas.enable=false in the "
            "converter",
        )
    if "specversion" in document and "type" in document:
        return Framing("cloudevents", "a CloudEvent; send its data alone, or in binary mode")
    if document.get("Type") == "Notification" and "Message" in document:
        return Framing("sns", "a notification of AWS SNS; switch raw message delivery on")
    return _wrapped(document)


def _of_string(document: str) -> Framing | None:
    body = document.encode("utf-8", "replace")
    if document.lstrip().startswith(("{", "[")):
        return Framing("json_in_string", "JSON text inside a JSON string: it is encoded twice")
    if is_base64(body[:LOOK].strip()):
        return encoded("base64", "Base64 text inside a JSON string")
    return None


def _wrapped(document: dict[str, Any]) -> Framing | None:
    """Recognise a reading one level further down, under whatever key."""
    for key, value in list(document.items())[:20]:
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str) and first[:1] == "{" and '"features"' in first[:LOOK]:
            return Framing("wrapped", f"the reading is JSON text under {key[:80]!r}; send it alone")
        if (
            isinstance(first, dict)
            and any(name in first for name in _READING)
            and key != "metadata"
        ):
            return Framing("wrapped", f"the reading lies under {key[:80]!r}; send it alone")
    return None
