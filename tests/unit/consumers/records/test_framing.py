"""Foreign formats in a record: the dead letter names what was sent in the place of a reading."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import pickle
import time
import uuid
import zlib
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka.codec import lz4_encode

from consumers.records import framing
from consumers.records.parsing import Reading, Rejection
from tests.unit.consumers.records.test_parsing import read

READING: dict[str, Any] = {
    "asset_id": "P1",
    "sensor_id": None,
    "features": {"vib": 2.0, "temp": 60.0, "flow": 30.5},
    "timestamp": "2026-01-01T00:00:00Z",
}
PLAIN = orjson.dumps(READING)


def msgpack_reading() -> bytes:
    """``{"asset_id": "P1", "vib": 2}``."""
    out = b"\x82"
    for text in ("asset_id", "P1", "vib"):
        out += bytes([0xA0 | len(text)]) + text.encode()
    return out + b"\x02"


def cbor_reading(head: bytes = b"\xa2", end: bytes = b"") -> bytes:
    out = head
    for text in ("asset_id", "P1", "vib"):
        out += bytes([0x60 | len(text)]) + text.encode()
    return out + b"\xf9\x40\x00" + end


def avro_body() -> bytes:
    """An Avro record: lengths are zigzag, doubles follow."""
    return b"\x04P1\x00" + b"\x00" * 7 + b"@" + b"\x00" * 7 + b"N@"


def snappy_framed() -> bytes:
    return b"\xff\x06\x00\x00sNaPpY" + b"\x01" + b"\x00" * 20


def xerial() -> bytes:
    block = snappy.compress(PLAIN)
    return b"\x82SNAPPY\x00" + b"\x00\x00\x00\x01" * 2 + len(block).to_bytes(4, "big") + block


BYTES: dict[str, list[bytes]] = {
    "schema_registry": [
        b"\x00\x00\x00\x00\x07" + PLAIN,
        b"\x00\x00\x01\x86\xa0" + avro_body(),
        b"\x00\x00\x00\x00\x2a\x00" + b"\x0a\x02P1\x15\x00\x00\x00@",  # Protobuf, first message
        b"\x00" + (77).to_bytes(8, "big") + avro_body(),  # an id of eight bytes
        b"\x03\x00" + uuid.UUID(int=5).bytes + avro_body(),
        b"\x03\x05" + uuid.UUID(int=5).bytes + zlib.compress(avro_body()),
    ],
    "gzip": [gzip.compress(PLAIN, mtime=0), gzip.compress(b"", mtime=0)],
    "zstd": [zstandard.ZstdCompressor().compress(PLAIN)],
    "lz4": [bytes(lz4_encode(PLAIN))],
    "snappy": [snappy_framed(), xerial(), bytes(snappy.compress(PLAIN)),
               bytes(snappy.compress(PLAIN * 20))],
    "zlib": [zlib.compress(PLAIN, level) for level in (1, 6, 9)],
    "bzip2": [bz2.compress(PLAIN)],
    "xz": [lzma.compress(PLAIN)],
    "zip": [b"PK\x03\x04" + b"\x14\x00" * 10],
    "avro": [b"Obj\x01\x04\x14avro.codec", b"\xc3\x01" + b"\x11" * 8 + avro_body()],
    "java": [b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap"],
    "pickle": [pickle.dumps(READING, number) for number in (2, 3, 4, 5)],
    "msgpack": [msgpack_reading(), b"\x91" + msgpack_reading(),
                b"\xde\x00\x02" + msgpack_reading()[1:]],
    "cbor": [cbor_reading(), cbor_reading(b"\xbf", b"\xff"), b"\xd9\xd9\xf7" + cbor_reading()],
    "bson": [(20).to_bytes(4, "little") + b"\x02a\x00\x07\x00\x00\x00abcdef\x00\x00\x00"],
    "utf_16": [PLAIN.decode().encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be")],
    "utf_32": [PLAIN.decode().encode(name) for name in ("utf-32", "utf-32-le", "utf-32-be")],
    "charset": [json.dumps({**READING, "asset_id": "Kühler"}, ensure_ascii=False).encode(name)
                for name in ("latin-1", "cp1252")],
    "xml": [b'<?xml version="1.0"?>\n<reading asset="P1"/>', b"<reading><vib>2.0</vib></reading>",
            b"  <ns:reading xmlns:ns='x'/>"],
    "html": [b"<!DOCTYPE html><html></html>", b"<html><body>502 Bad Gateway</body></html>"],
    "csv": [b"asset_id,vib,temp\nP1,2.0,60.0\n", b"P1;2,0;60,0;30,0", b"P1\t2.0\t60.0",
            b"2026-01-01T00:00:00Z,P1,2.0,60.0,30.0"],
    "yaml": [b"asset_id: P1\nfeatures:\n  vib: 2.0\n", b"---\nasset_id: P1\n"],
    "python": [str(READING).encode()],
    "line_protocol": [b"vibration,asset_id=P1 vib=2.0,temp=60.0 1767225600000000000"],
    "pairs": [b"asset_id=P1 vib=2.0 temp=60.0"],
    "form": [urlencode({"asset_id": "P1", "vib": 2.0}).encode()],
    "base64": [base64.b64encode(PLAIN), base64.urlsafe_b64encode(PLAIN),
               base64.b64encode(gzip.compress(PLAIN, mtime=0))],
    "sse": [b"data: " + PLAIN + b"\n\n"],
    "several_documents": [PLAIN + b"\n" + PLAIN, PLAIN + b"\r\n" + PLAIN + b"\r\n", PLAIN + PLAIN,
                          PLAIN + b" " + PLAIN],
    "json_sequence": [b"\x1e" + PLAIN + b"\n"],
    "length_prefix": [len(PLAIN).to_bytes(size, "little") + PLAIN for size in (2, 4, 8)],
    "prefix": [b"\x01\x02\x03" + PLAIN],
    "empty": [b"", b"  \n"],
    "binary": [b"\x0a\x02P1\x15\x00\x00\x00@", bytes([0x12, 0x34]) + b"\xff\xfe\xfd" * 9],
}  # fmt: skip

DEBEZIUM = {"before": None, "after": READING, "op": "c", "ts_ms": 1, "source": {"db": "plant"}}
DOCUMENTS: dict[str, list[Any]] = {
    "connect": [{"schema": {"type": "struct"}, "payload": READING},
                {"schema": None, "payload": "text"}],
    "debezium": [DEBEZIUM, {"schema": {}, "payload": DEBEZIUM}],
    "cloudevents": [{"specversion": "1.0", "type": "reading", "source": "/p", "id": "1",
                     "data": READING}],
    "sns": [{"Type": "Notification", "Message": PLAIN.decode(), "TopicArn": "arn"}],
    "wrapped": [{"payload": READING}, {"key": None, "value": READING}, {"data": [READING]},
                {"records": [READING]}, {"message": PLAIN.decode(), "@timestamp": "now"}],
    "array": [[READING], [], [1, 2]],
    "json_in_string": [PLAIN.decode(), json.dumps([READING])],
    "base64": [base64.b64encode(PLAIN).decode()],
}  # fmt: skip

CASES = [(name, body) for name, bodies in BYTES.items() for body in bodies] + [
    (name, orjson.dumps(document)) for name, made in DOCUMENTS.items() for document in made
]


@pytest.mark.parametrize(("name", "body"), CASES)
def test_a_foreign_format_is_named(name: str, body: bytes) -> None:
    rejection = read(body)
    assert isinstance(rejection, Rejection)
    assert rejection.framing == name
    assert rejection.reason in ("not_json", "not_object", "unknown_shape")
    assert 20 < len(rejection.message) < 300
    assert "Expecting value" not in rejection.message


def test_the_schemas_id_is_said() -> None:
    assert "schema id 7" in read(b"\x00\x00\x00\x00\x07" + PLAIN).message


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.replace(b"T00:00:00Z", b"t00:00:00z"),
        PLAIN.replace(b'"sensor_id":null', b'"sensor_id":""'),
        b" \n" + PLAIN + b"\n",
    ],
)
def test_what_can_mean_one_thing_only_is_read(body: bytes) -> None:
    assert read(body) == read(PLAIN)
    assert isinstance(read(body), Reading)


def test_an_empty_sensor_of_the_single_feature_shape_is_none() -> None:
    body = {"name": "rms", "value": 1.0, "metadata": {"asset_id": "A", "sensor_id": ""}}
    assert read(orjson.dumps(body)).sensor_id is None


@pytest.mark.parametrize(
    ("stamp", "named"),
    [
        (1767225600000, "since 1970"),
        (1767225600.5, "since 1970"),
        ("1767225600000", "since 1970"),
        ("2026-01-01T00:00:00+01:00[Europe/Berlin]", "zone"),
        ("2016-12-31T23:59:60Z", "leap second"),
        ("2026-01-01 00:00:00 CET", "offset"),
        ("01/02/2026 10:00", "is ambiguous"),
        ("Thu, 01 Jan 2026 00:00:00 GMT", "is ambiguous"),
        ("/Date(1767225600000)/", ".NET"),
        ([2026, 1, 1], "text"),
        ({"$date": "2026-01-01"}, "text"),
    ],
)
def test_what_was_taken_for_a_time_is_named(stamp: Any, named: str) -> None:
    rejection = read(orjson.dumps({**READING, "timestamp": stamp}))
    assert rejection.reason == "bad_timestamp"
    assert named in rejection.message


def test_plainly_broken_json_keeps_its_parsers_words() -> None:
    rejection = read(PLAIN[:-20])
    assert (rejection.reason, rejection.framing) == ("not_json", None)
    assert "line 1 column" in rejection.message


@given(st.binary(max_size=300))
def test_any_bytes_are_looked_at(body: bytes) -> None:
    found = framing.of_bytes(body)
    assert found is None or found.sentence


@pytest.mark.parametrize("body", [
    b"{" + b",".join(b'"k%d":%d' % (n % 20_000, n) for n in range(20_001)) + b"}",
    b'{"asset_id":"A","features":{' + b",".join(b'"a":1' for _ in range(40_000)) + b"}}",
    b'{"asset_id":"A","x":1' + b"9" * 300_000 + b',"x":2}',
    b"{'" + b"a" * 500_000, b"\x00" * 500_000, b"=" * 500_000, b"a=" * 250_000, b"a," * 250_000,
    b"a.b-" * 100_000, b"{\"a\":1}\n" * 50_000, b"QUJD" * 100_000, b"x: " * 100_000,
    b"\x80" * 500_000,
])  # fmt: skip
def test_a_large_bad_body_is_refused_at_once(body: bytes) -> None:
    """Linear: the first of these took seven seconds when names were counted in a loop."""
    began = time.process_time()
    assert isinstance(read(body), Rejection)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("stamp", [-1, 0, 1, 1767225600])
def test_a_kafka_time_that_was_never_set_is_none(stamp: int) -> None:
    """0, or seconds in the place of milliseconds: else each reading lay decades in the future."""
    assert isinstance(read(PLAIN, timestamp=stamp), Reading)
    without = {key: value for key, value in READING.items() if key != "timestamp"}
    assert read(orjson.dumps(without), timestamp=stamp).reason == "bad_timestamp"


def test_without_a_kafka_time_the_clock_tells_what_is_in_the_future() -> None:
    late = {**READING, "timestamp": "2999-01-01T00:00:00Z"}
    assert read(orjson.dumps(late), timestamp=0).reason == "future_timestamp"
