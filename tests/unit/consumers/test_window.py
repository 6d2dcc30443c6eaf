"""Past readings as they travel: compact where all have the same features."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from consumers.window import encode_row, pack_rows

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_rows_are_compact_when_all_have_the_same_features():
    one = encode_row(START, {"b": 2.0, "a": 1.0})
    two = encode_row(START, {"a": 3.0, "b": 4.0})
    packed = orjson.loads(orjson.dumps(pack_rows([one, two])))
    stamp = START.isoformat()
    assert packed == {"names": ["a", "b"], "rows": [[stamp, 1.0, 2.0], [stamp, 3.0, 4.0]]}


def test_rows_with_different_features_are_a_list():
    rows = [encode_row(START, {"a": 1.0}), encode_row(START, {"a": 1.0, "b": 2.0})]
    packed = orjson.loads(orjson.dumps(pack_rows(rows)))
    assert [row["features"] for row in packed] == [{"a": 1.0}, {"a": 1.0, "b": 2.0}]
    assert pack_rows([]) == []
