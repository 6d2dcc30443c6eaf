"""Recognise the format of a body that is no reading, by its first bytes or its JSON keys.

A producer that wraps or compresses its JSON does so for a whole topic. The message "Expecting
value: line 1 column 1" would mislead its owner; the name of the wrapping helps.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import snappy

from errors import InputError

# Bytes that are examined: a dead letter must not cost more time than a reading.
LOOK = 4096


@dataclass(frozen=True, slots=True)
class Framing:
    """A foreign format.

    Parameters
    ----------
    name : str
        Stable name, for counting.
    sentence : str
        Description for people, with advice.
    """

    name: str
    sentence: str


class ForeignFramingError(InputError):
    """The record has a recognised foreign format instead of the contract's."""

    def __init__(self, framing: Framing, code: str) -> None:
        super().__init__(f"{_WHY[code]}: {framing.sentence}", code=code)
        self.framing = framing.name


def _compressed(name: str) -> Framing:
    return Framing(name, f"{name}-compressed by the sender; use the Kafka producer's compression")


def encoded(name: str, text: str) -> Framing:
    """Make the framing of an encoding with this description."""
    return Framing(name, f"{text}, not JSON text")


_MAGIC: tuple[tuple[bytes, Framing], ...] = (
    (b"\x1f\x8b", _compressed("gzip")),
    (b"\x28\xb5\x2f\xfd", _compressed("zstd")),
    (b"\x04\x22\x4d\x18", _compressed("lz4")),
    (b"\x02\x21\x4c\x18", _compressed("lz4")),
    (b"\xff\x06\x00\x00sNaPpY", _compressed("snappy")),
    (b"\x82SNAPPY\x00", _compressed("snappy")),
    (b"BZh", _compressed("bzip2")),
    (b"\xfd7zXZ\x00", _compressed("xz")),
    (b"PK\x03\x04", _compressed("zip")),
    (b"Obj\x01", encoded("avro", "an Avro container file")),
    (b"\xc3\x01", encoded("avro", "Avro's single-object encoding")),
    (b"PAR1", encoded("parquet", "a Parquet file")),
    (b"ARROW1", encoded("arrow", "an Arrow file")),
    (b"\xac\xed\x00\x05", encoded("java", "a serialised Java object")),
    (b"\xd9\xd9\xf7", encoded("cbor", "CBOR")),
    (b"\x00\x00\xfe\xff", encoded("utf_32", "UTF-32 text")),
    (b"\xff\xfe\x00\x00", encoded("utf_32", "UTF-32 text")),
    (b"\xff\xfe", encoded("utf_16", "UTF-16 text; send UTF-8")),
    (b"\xfe\xff", encoded("utf_16", "UTF-16 text; send UTF-8")),
    (b"%PDF", encoded("pdf", "a PDF")),
    (b"\x1e{", encoded("json_sequence", "a JSON text sequence (RFC 7464)")),
)

_KEY = re.compile(rb"[A-Za-z_$@][\w$@.\-]*")
_XML = re.compile(rb"\s*<(\?xml|!doctype|[a-z_][\w:.-]*[\s/>])", re.IGNORECASE)
_LINE_PROTOCOL = re.compile(rb"[\w.\-]+(,[\w.\-]+=[^\s,=]+)*\s+[\w.\-]+=[^\s,=]+(,[^\s=]+=\S+)*")
_FORM = re.compile(rb"[\w.%\-]+=[^&\s]*(&[\w.%\-]+=[^&\s]*)+\Z")
_PAIRS = re.compile(rb"\s*[\w.\-]+=\S+(\s+[\w.\-]+=\S+)*\s*\Z")
_YAML = re.compile(rb"(---\s*\n)?\s*[\w.\-]+:\s")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-]{16,}={0,2}\s*\Z")


def of_bytes(body: bytes) -> Framing | None:
    """Return the format of a body that is not JSON, or None if it is not recognised."""
    head = body[:LOOK]
    if not head.strip():
        return Framing("empty", f"empty: {len(body)} bytes without text")
    for look in _LOOKS:
        found = look(body, head)
        if found is not None:
            return found
    return None


_WHY = {"not_json": "not JSON", "not_object": "not an object", "unknown_shape": "no reading"}


def _magic(body: bytes, head: bytes) -> Framing | None:
    return next((framing for magic, framing in _MAGIC if head.startswith(magic)), None)


def _wide_text(body: bytes, head: bytes) -> Framing | None:
    """Recognise text of two or four bytes per character, without a byte order mark."""
    first = head[:8].replace(b"\x00", b"")
    if b"\x00" not in head[:4] or not first.startswith((b"{", b"[", b'"')):
        return None
    for encoding, unit in (("utf-32-be", 4), ("utf-32-le", 4), ("utf-16-be", 2), ("utf-16-le", 2)):
        try:
            text = head[: len(head) - len(head) % unit].decode(encoding)
        except UnicodeDecodeError:
            continue
        if text.startswith(("{", "[", '"')) and "\x00" not in text:
            name = "utf_16" if unit == 2 else "utf_32"
            return encoded(name, f"UTF-{8 * unit} text; send UTF-8")
    return None


def _registry(body: bytes, head: bytes) -> Framing | None:
    """Recognise the header of Confluent's serialisers (0 and the schema's id) or of AWS Glue's."""
    if head[0] == 0 and len(head) > 5:
        number = int.from_bytes(head[1:5], "big")
        inside = "JSON" if head[5:].lstrip().startswith(b"{") else "Avro or Protobuf"
        return Framing(
            "schema_registry",
            f"a schema registry frame (magic byte 0, schema id {number}) around {inside}; "
            "send plain JSON, without the registry's serializer",
        )
    if head[0] == 3 and len(head) > 18 and head[1] in (0, 5):
        return Framing("schema_registry", "a frame of AWS Glue's schema registry; send plain JSON")
    return None


def _prefixed(body: bytes, head: bytes) -> Framing | None:
    """Recognise a length or a few other bytes in front of the JSON."""
    at = head.find(b'{"', 1, 24)
    if at < 1 or (head[:at].isascii() and head[:at].decode().isprintable()):
        return None
    if any(int.from_bytes(head[:at], order) == len(body) - at for order in ("big", "little")):
        return Framing("length_prefix", f"JSON after a length of {at} bytes; send plain JSON")
    return Framing("prefix", f"JSON after {at} other bytes ({head[:at].hex(' ')}); send plain JSON")


def _zlib(body: bytes, head: bytes) -> Framing | None:
    if len(head) > 5 and head[0] == 0x78 and head[1] in (0x01, 0x5E, 0x9C, 0xDA):
        return _compressed("zlib")
    return None


def _msgpack(body: bytes, head: bytes) -> Framing | None:
    """Recognise a map (or an array of maps) whose first key is a short text."""
    rest = _after_map(head, 0x80, {0xDE: 3, 0xDF: 5}) or (
        _after_map(head[1:], 0x80, {0xDE: 3}) if head[0] in range(0x91, 0xA0) else None
    )
    if rest and (0xA1 <= rest[0] <= 0xBF and _KEY.fullmatch(rest[1 : 1 + (rest[0] & 0x1F)])):
        return encoded("msgpack", "MessagePack")
    if rest and rest[0] == 0xD9 and len(rest) > 2 and _KEY.fullmatch(rest[2 : 2 + rest[1]]):
        return encoded("msgpack", "MessagePack")
    return None


def _after_map(head: bytes, short: int, longer: dict[int, int]) -> bytes | None:
    """Return the bytes after the head of a non-empty map."""
    if not head:
        return None
    if short < head[0] < short + 16:
        return head[1:]
    return head[longer[head[0]] :] if head[0] in longer else None


def _cbor(body: bytes, head: bytes) -> Framing | None:
    rest = _after_map(head, 0xA0, {0xB8: 2, 0xB9: 3, 0xBA: 5, 0xBF: 1})
    if rest and 0x61 <= rest[0] <= 0x77 and _KEY.fullmatch(rest[1 : 1 + rest[0] - 0x60]):
        return encoded("cbor", "CBOR")
    return None


def _binary(body: bytes, head: bytes) -> Framing | None:
    """Recognise other bytes that are not text."""
    if len(body) > 4 and int.from_bytes(head[:4], "little") == len(body) and body[-1] == 0:
        return encoded("bson", "BSON")
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return encoded("pickle", "a pickled Python object")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return _other_charset(body, error)
    if any(character < " " and character not in "\t\n\r" for character in text[:LOOK]):
        return _protobuf(head)
    return None


def _snappy(body: bytes, head: bytes) -> Framing | None:
    """Recognise raw snappy, which has no magic bytes: it must inflate to its length and be JSON."""
    size = shift = 0
    for byte in body[:4]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if not len(body) // 2 <= size <= 1 << 20:
        return None
    try:
        inside = snappy.decompress(body)
    except Exception:  # whatever the library raises, it is not snappy
        return None
    return _compressed("snappy") if bytes(inside).lstrip().startswith((b"{", b"[")) else None


def _other_charset(body: bytes, error: UnicodeDecodeError) -> Framing | None:
    """Recognise JSON in an older character set with one byte per character."""
    try:
        orjson.loads(body.decode("latin-1").encode())
    except orjson.JSONDecodeError:
        return _protobuf(body[:LOOK])
    at = error.start
    return Framing(
        "charset",
        f"JSON text that is not UTF-8 (byte 0x{body[at]:02x} at {at}): Latin-1 or Windows-1252?",
    )


def _protobuf(head: bytes) -> Framing:
    begin = head[:8].hex(" ")
    kind = "Protobuf or another binary format" if head[0] & 7 in (0, 1, 2, 5) else "a binary format"
    return Framing("binary", f"{kind}, not text (it begins with {begin})")


def _text(body: bytes, head: bytes) -> Framing | None:
    """Recognise formats of readable text."""
    text = head.strip()
    first = text.splitlines()[0]
    if text.startswith((b"{'", b"[{'")):
        return Framing("python", "the repr of a Python dict (single quotes); send json.dumps of it")
    if text.startswith((b"{", b"[", b'"')):
        return _documents(body)
    if _XML.match(text):
        html = text[:15].lower().startswith((b"<!doctype html", b"<html"))
        return encoded("html", "an HTML page") if html else encoded("xml", "XML")
    checks: tuple[tuple[Callable[[], Any], Framing], ...] = (
        (lambda: is_base64(text), encoded("base64", "Base64 text")),
        (lambda: text.startswith((b"data:", b"event:")), encoded("sse", "a server-sent event")),
        (lambda: _FORM.match(text), encoded("form", "a URL-encoded form")),
        (
            lambda: _LINE_PROTOCOL.match(first),
            encoded("line_protocol", "Influx line protocol"),
        ),
        (lambda: _PAIRS.match(text), encoded("pairs", "key=value pairs")),
        (lambda: _is_csv(text), encoded("csv", "separated values (CSV)")),
        (lambda: _YAML.match(text), encoded("yaml", "YAML")),
    )
    return next((framing for check, framing in checks if check()), None)


def _documents(body: bytes) -> Framing | None:
    """Recognise several JSON documents in one record, one per line or concatenated."""
    lines = [line for line in body.splitlines() if line.strip()]
    try:
        for line in lines[:2]:
            orjson.loads(line)
        several = len(lines) > 1
    except orjson.JSONDecodeError:
        several = b"}{" in body[:LOOK] or b"} {" in body[:LOOK]
    if several:
        return Framing(
            "several_documents", "several JSON documents in one record; send one reading per record"
        )
    return None


def is_base64(text: bytes) -> bool:
    """Return whether text is Base64 of a recognisable format."""
    if len(text) < LOOK // 2 and not _BASE64.match(text):
        return False
    try:
        inside = binascii.a2b_base64(text[: len(text) // 4 * 4].translate(_URL_SAFE))
    except binascii.Error:
        return False
    return inside.lstrip().startswith((b"{", b"[", b"\x1f\x8b"))


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _is_csv(text: bytes) -> bool:
    lines = text.splitlines()[:5]
    for separator in (b",", b";", b"\t", b"|"):
        counts = {line.count(separator) for line in lines}
        if min(counts) > 0 and (len(counts) == 1 or min(counts) > 1):
            return True
    return False


_LOOKS: tuple[Callable[[bytes, bytes], Framing | None], ...] = (
    _wide_text, _magic, _registry, _snappy, _prefixed, _zlib, _msgpack, _cbor, _binary, _text,
)  # fmt: skip


# -- JSON that is no reading: envelopes of other systems ----------------------------------------

_CDC = ("op", "after")
_READING = frozenset({"features", "asset_id"})


def of_document(document: Any) -> Framing | None:
    """Return the format of JSON that is no reading, or None if it is not recognised."""
    if isinstance(document, str):
        return _of_string(document)
    if isinstance(document, list):
        return Framing("array", f"a JSON array of {len(document)}; send one reading per record")
    if not isinstance(document, dict):
        return None
    payload = document.get("payload")
    inner = payload if isinstance(payload, dict) else {}
    if all(key in document for key in _CDC) or all(key in inner for key in _CDC):
        return Framing("debezium", "a change event of Debezium; send only its row (unwrap it)")
    if "schema" in document and "payload" in document:
        return Framing(
            "connect",
            "an envelope of Kafka Connect (schema, payload); set schemas.enable=false in the "
            "converter",
        )
    if "specversion" in document and "type" in document:
        return Framing("cloudevents", "a CloudEvent; send only its data, or use binary mode")
    if document.get("Type") == "Notification" and "Message" in document:
        return Framing("sns", "a notification of AWS SNS; switch raw message delivery on")
    return _wrapped(document)


def _of_string(document: str) -> Framing | None:
    body = document.encode("utf-8", "replace")
    if document.lstrip().startswith(("{", "[")):
        return Framing("json_in_string", "JSON text inside a JSON string: it was encoded twice")
    if is_base64(body[:LOOK].strip()):
        return encoded("base64", "Base64 text inside a JSON string")
    return None


def _wrapped(document: dict[str, Any]) -> Framing | None:
    """Recognise a reading nested under any key."""
    for key, value in list(document.items())[:20]:
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str) and first[:1] == "{" and '"features"' in first[:LOOK]:
            return Framing("wrapped", f"the reading is JSON text under {key[:80]!r}; unwrap it")
        if (
            isinstance(first, dict)
            and any(name in first for name in _READING)
            and key != "metadata"
        ):
            return Framing("wrapped", f"the reading is nested under {key[:80]!r}; unwrap it")
    return None
