"""Turn JSON objects into rows: messages of Kafka or MQTT, flat objects, objects in objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from datasets.json_files.dynamodb import plain_item
from datasets.json_files.json_documents import Document
from errors import DatasetError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: What the older form of a message, with one feature, says beside its name and value.
_WHOSE: Final = ("asset_id", "sensor_id", "timestamp")

#: Keys of a name and of its value, in a list of such objects (Sparkplug, SenML).
_NAMES: Final = ("name", "n")
_VALUES: Final = ("value", "v")

#: Keys of a record of Kafka that is wrapped, which one of MQTT lacks.
_OF_KAFKA: Final = frozenset(("partition", "offset", "schema"))


@dataclass(slots=True)
class Rows:
    """Turn objects into rows: column name -> value.

    Parameters
    ----------
    is_role : whether a key beside ``features`` may have a role, such as the time.
    beside : keys beside ``features`` that were left out.
    record_times : messages that had no time of their own, but that of the Kafka record.
    """

    is_role: Callable[[str], bool]
    beside: dict[str, None] = field(default_factory=dict)
    record_times: int = 0

    def row(self, document: Document) -> Document:
        """Return the row of an object.

        Raises
        ------
        DatasetError
            The object has two values for a column, or wraps something that is no object.
        """
        document = plain_item(document)
        if "payload" in document and ("topic" in document or "schema" in document):
            document = self._unwrapped(document)
        if type(document.get("features")) is dict:
            return self._message(document)
        metadata = document.get("metadata")
        if type(metadata) is dict and "name" in document and "value" in document:
            whose = {key: metadata[key] for key in _WHOSE if key in metadata}
            return {**whose, "name": document["name"], "value": document["value"]}
        if not {dict, list} & set(map(type, document.values())):
            return document
        out: Document = {}
        for name, value in document.items():
            if type(value) is dict:
                more = {f"{name}.{key}": v for key, v in value.items()}
            else:
                more = _named_values(value) or {name: value}
            _merge(out, more)
        return out

    def _message(self, document: Document) -> Document:
        """Return the row of a message: its features, and what names its stream and time."""
        out: Document = {}
        for name, value in document.items():
            if name == "features":
                _merge(out, value)
            elif self.is_role(name) or type(value) is str:
                _merge(out, {name: value})
            else:
                self.beside[name] = None
        return out

    def _of_mqtt(self, document: Document, content: Any) -> Document:
        """Return an MQTT message: its payload, and what tells its stream and time beside it."""
        payload = content if type(content) is dict else {"payload": content}
        out: Document = {}
        for name, value in document.items():
            if name == "payload":
                out |= payload
            elif name not in payload and (self.is_role(name) or type(value) is str):
                out[name] = value
            else:
                self.beside[name] = None
        return out

    def _unwrapped(self, record: Document) -> Document:
        """Return the message of MQTT or of a Kafka record, as kcat -J and Kafka Connect wrap it."""
        payload = record["payload"]
        document = _decoded(payload)
        is_message = type(document) is dict and "features" in document
        if not is_message and record.keys().isdisjoint(_OF_KAFKA):
            return self._of_mqtt(record, document)
        if type(document) is not dict:
            what = "no JSON" if type(payload) is str and document == payload else "no JSON object"
            raise DatasetError(f"has a payload that is {what}: {payload!r:.60}")
        ts = record.get("ts")
        if (
            "features" in document
            and document.get("timestamp") is None
            and type(ts) is int
            and ts > 0
        ):
            self.record_times += 1
            at = _EPOCH + timedelta(milliseconds=min(ts, 10**14))
            return {**document, "timestamp": at.isoformat()}
        return document


def _named_values(value: Any) -> Document | None:
    """Return a list of objects with a name and a value each, as Sparkplug's metrics, as columns.

    Where all values are texts, they tell of the object, as tags do, and are no measurements.
    """
    if type(value) is not list or not value or set(map(type, value)) != {dict}:
        return None
    names = [next((one[key] for key in _NAMES if type(one.get(key)) is str), None) for one in value]
    keys = [next((key for key in _VALUES if key in one), None) for one in value]
    if None in names or None in keys or len(set(names)) < len(names):
        return None
    out = {str(name): one[str(key)] for name, key, one in zip(names, keys, value, strict=True)}
    return None if set(map(type, out.values())) == {str} else out


def _decoded(payload: Any) -> Any:
    """Return a payload's content; a text that is no JSON is one."""
    try:
        return orjson.loads(payload) if type(payload) is str else payload
    except orjson.JSONDecodeError:
        return payload


def _merge(out: Document, more: Any) -> None:
    before = len(out)
    out.update(more)
    if len(out) < before + len(more):
        names = list(out)[:before]
        name = next(name for name in names if name in more)
        raise DatasetError(f"has the key {name!r:.80} twice: beside the features and among them")
