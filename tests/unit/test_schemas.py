"""Data types: times, names and feature values, accepted as they are or refused by name."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from errors import InputError
from schemas import (
    RESERVED_METADATA,
    LookAlikes,
    NameMemo,
    check_features,
    check_name,
    has_nul,
    merge_metadata,
    parse_timestamp,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T12:00:00Z",
        "2026-01-01T12:00:00",  # none is UTC
        "2026-01-01 12:00:00+00:00",
        "2026-01-01T13:00:00+01:00",
        "2026-01-01T12:00:00.000000+00:00",
    ],
)
def test_times_of_every_form_become_utc(text: str) -> None:
    parsed = parse_timestamp(text)
    assert parsed == NOON
    assert parsed.utcoffset() == timedelta()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2026-13-01",
        "now",
        None,
        1767268800,
        True,
        "0001-01-01T00:00:00+14:00",
        "9" * 99,
        "1612010112345",  # an epoch in ms, as text
        "2026-01-01 18.30",  # half past six, or 18 h and 0.3 s
    ],
)
def test_what_is_no_time_is_refused_with_field_and_value(value: object) -> None:
    with pytest.raises(InputError) as caught:
        parse_timestamp(value, "start_date")
    assert caught.value.code == "bad_timestamp"
    assert caught.value.field == "start_date"
    assert repr(value)[:20] in caught.value.message


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_a_time_comes_back_whatever_its_offset(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_timestamp(aware.isoformat()) == aware


@pytest.mark.parametrize("value", ["", "x" * 256, "a\x00b", "\ud800", 7, None, ["P1"], True])
def test_a_bad_name_is_refused_with_its_field(value: object) -> None:
    with pytest.raises(InputError) as caught:
        check_name(value, "asset_id")
    assert caught.value.code == "bad_name"
    assert caught.value.field == "asset_id"


@given(
    st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=255
    )
)
def test_any_other_text_is_a_name_and_stays_as_it_is(name: str) -> None:
    assert check_name(name, "asset_id") == name


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), 10**400, "1.0", None, True, [1.0], {"v": 1.0}],
)
def test_what_is_no_finite_number_is_refused_with_feature_and_value(value: object) -> None:
    # twice: what passed once may take a short cut, what did not may not
    assert check_features({"rms": 1.0, "kurtosis": 3.0}) == {"rms": 1.0, "kurtosis": 3.0}
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            check_features({"rms": value, "kurtosis": 3.0})
        assert caught.value.code == "bad_value"
        assert caught.value.field == "features.rms"


def test_the_sender_of_null_is_told_to_leave_the_feature_out() -> None:
    with pytest.raises(InputError, match=r"features\.rms: null is not a number; leave out"):
        check_features({"rms": None, "kurtosis": 3.0})


@pytest.mark.parametrize("value", [{}, [], None, "rms", 1.0])
def test_features_must_be_an_object_with_something_in_it(value: Any) -> None:
    with pytest.raises(InputError, match="non-empty object"):
        check_features(value)


def test_too_many_features_are_counted_in_the_refusal() -> None:
    with pytest.raises(InputError, match="4 features, at most 3"):
        check_features({f"f{i}": 1.0 for i in range(4)}, max_features=3)


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53)),
        min_size=1,
    )
)
def test_finite_numbers_pass_unchanged_and_come_as_floats(features: dict[str, float]) -> None:
    checked = check_features(features)
    assert checked == features
    assert all(type(value) is float for value in checked.values())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("A", "A "),
        ("PUMP 7", "PUMP  7"),
        ("pump-7", "PUMP-7"),
        ("1", "1.0"),
        ("K\u00fchler", "Ku\u0308hler"),
        ("A", "\ufeffA"),
        ("A\u200b", "A"),
        ("\uff21", "A"),  # full-width
    ],
)
def test_names_that_look_alike_are_told_once(first: str, second: str) -> None:
    names = LookAlikes()
    assert names.meet(first, None) == []
    (note,) = names.meet(second, None)
    assert repr(first) in note
    assert repr(second) in note
    assert names.meet(first, None) == names.meet(second, None) == []


def test_names_that_differ_for_a_person_are_not_told() -> None:
    names = LookAlikes()
    for name in ("A", "B", "A1", "A-1", "1", "10", "1.5", "1.50", "v1.0"):
        assert names.meet(name, "S") == [], "a sensor of the same name belongs to another asset"


def test_sensors_are_compared_within_their_asset() -> None:
    names = LookAlikes()
    assert names.meet("A", "S1") == names.meet("B", "S1 ") == []
    (note,) = names.meet("A", "s1")
    assert "of asset 'A'" in note


def test_remembered_names_are_bounded() -> None:
    names = LookAlikes(max_names=10)
    for number in range(100):
        names.meet(f"N{number}", None)
    assert len(names._known) <= 10
    assert len(names._met) <= 10


@pytest.mark.parametrize("key", sorted(RESERVED_METADATA - {"caller"}))
def test_no_key_of_a_callers_metadata_passes_for_ours(key: str) -> None:
    merged = merge_metadata({"window": "added"}, {key: "theirs", "source": "x"})
    assert merged == {"window": "added", "source": "x", "caller": {key: "theirs"}}


def test_a_key_that_a_result_carries_is_ours_whatever_it_is_called() -> None:
    merged = merge_metadata({"invented": 1}, {"invented": 2})
    assert merged == {"invented": 1, "caller": {"invented": 2}}


def test_a_callers_caller_moves_too() -> None:
    merged = merge_metadata({"window": "added"}, {"caller": 1, "stored": "x", "free": 2})
    assert merged == {"window": "added", "free": 2, "caller": {"caller": 1, "stored": "x"}}
    # alone, as metadata that is no object is carried, it is where it should be
    assert merge_metadata({}, {"caller": [1, 2]}) == {"caller": [1, 2]}


def test_every_key_that_the_code_writes_is_reserved() -> None:
    written = set()
    for package in ("models", "serving", "consumers"):
        for path in (Path(__file__).parents[2] / package).rglob("*.py"):
            found = re.findall(r'metadata(?:"\])?\["(\w+)"\]', path.read_text())
            written |= set(found)
    assert {"late", "degraded", "spread", "restarted", "stored"} <= written
    assert written <= RESERVED_METADATA


def test_names_are_remembered_up_to_a_bound() -> None:
    memo: NameMemo[int] = NameMemo()
    for number in range(1000):
        memo.keep(tuple(f"{number}.{i}" for i in range(500)), number)
        assert sum(map(len, memo)) <= NameMemo.MAX
    assert memo[tuple(f"999.{i}" for i in range(500))] == 999


def test_a_flood_of_names_leaves_the_known_ones_quick_to_check() -> None:
    features = {f"f{i}": 1.0 for i in range(24)}
    for number in range(20_000):
        check_features({f"{number}.{i}": 1.0 for i in range(10)})
    check_features(features)
    assert check_features(features) is features
    assert sum(map(len, schemas._PASSED)) <= NameMemo.MAX


def test_nul_is_found_at_any_depth() -> None:
    deep: Any = "\x00"
    for _ in range(5000):
        deep = [deep]
    assert has_nul(deep)
    assert has_nul({"a\x00": 1})
    assert not has_nul({"a": ["b", {"c": None}]})
