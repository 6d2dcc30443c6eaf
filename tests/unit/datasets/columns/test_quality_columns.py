"""Values whose quality column says bad are not measured; other columns are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.datasets.plant_files import START, Load


def plant(head: str, temp: list[str], vib: list[str], form: str) -> str:
    lines = [f"asset_id,timestamp,{head}"]
    for i in range(400):
        time = f"{np.datetime64(START) + np.timedelta64(i, 'm')}Z"
        line = form.format(t=50 + i % 7 / 8, v=1 + i % 5 / 8, qt=temp[i], qv=vib[i])
        lines.append(f"P1,{time},{line}")
    return "\n".join(lines) + "\n"


GOOD = ["Good"] * 400
BAD_AT_9 = [*GOOD[:9], "Bad", *GOOD[10:]]
BAD_LATE = [*GOOD[:390], "Bad [Configuration Error]", "Uncertain", *GOOD[392:]]


def test_values_that_are_missing_anyway_are_no_bad_ones(load: Load) -> None:
    text = plant("Temp,Temp_Q,Vib,Vib_Q", BAD_AT_9, GOOD, "{t},{qt},{v},{qv}")
    lines = text.splitlines(keepends=True)
    lines[10] = lines[10].replace(",51.125,Bad", ",I/O Timeout,Bad").replace(",50.25,Bad", ",,Bad")
    data = load("".join(lines))
    assert np.isnan(data.streams[0].values[9, 0])
    assert not any("of bad quality" in note for note in data.notes)


@pytest.mark.parametrize(
    "head",
    [
        "Temp,Temp_Q,Vib,Vib_Q", "Temp Value,Temp Quality,Vib Value,Vib Quality",
        "Temp,Temp.Status,Vib,Vib.Status", "Temp,Status,Vib,Status", "Temp,Qualität,Vib,Qualität",
    ],
)  # fmt: skip
def test_pairs_of_value_and_quality(load: Load, head: str) -> None:
    data = load(plant(head, BAD_AT_9, BAD_LATE, "{t},{qt},{v},{qv}"))
    names = head.split(",")
    assert data.feature_names == names[::2]
    missing = np.argwhere(np.isnan(data.streams[0].values))
    assert missing.tolist() == [[9, 0], [390, 1]]
    assert f"column {names[1]!r} is read as the quality of {names[0]} (" in "\n".join(data.notes)
    assert f"{names[2]}: 1 values of bad quality are read as not measured" in data.notes


@pytest.mark.parametrize("head", ["Temp,Vib,Quality", "Temp,Vib,Status", "Temp,Vib,OPCQuality"])
def test_one_quality_judges_the_whole_reading(load: Load, head: str) -> None:
    data = load(plant(head, BAD_AT_9, GOOD, "{t},{v},{qt}"))
    assert np.argwhere(np.isnan(data.streams[0].values)).tolist() == [[9, 0], [9, 1]]


@pytest.mark.parametrize(
    ("name", "good"), [("Quality", "128"), ("Quality", "100"), ("Confidence", "100")]
)
def test_numbers_of_historians_are_the_qualities_of_values(
    load: Load, name: str, good: str
) -> None:
    codes = [good if i % 50 else "0" for i in range(400)]
    data = load(plant(f"Value,{name}", codes, GOOD, "{t},{qt}"))
    assert data.feature_names == ["Value"]
    assert np.flatnonzero(np.isnan(data.streams[0].values)).tolist() == [*range(0, 400, 50)]


def test_the_quality_of_a_product_in_percent_is_a_feature(load: Load) -> None:
    codes = ["100" if i % 50 else "0" for i in range(400)]
    assert load(plant("Temp,Vib,Quality", codes, GOOD, "{t},{v},{qt}")).feature_names == [
        "Temp", "Vib", "Quality",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["Steam Quality", "Pump_Q", "Detection Confidence"])
def test_a_quality_in_percent_of_what_has_no_column_is_a_feature(load: Load, name: str) -> None:
    codes = ["100" if i % 50 else "40" for i in range(400)]
    data = load(plant(f"Temp,{name}", codes, GOOD, "{t},{qt}"))
    assert data.feature_names == ["Temp", name]
    assert not np.isnan(data.streams[0].values).any()


def test_percent_judge_the_column_that_their_name_names(load: Load) -> None:
    codes = ["100" if i % 50 else "0" for i in range(400)]
    assert load(plant("Temp,Temp_Q", codes, GOOD, "{t},{qt}")).feature_names == ["Temp"]


def test_states_in_braces_are_qualities(load: Load) -> None:
    states = [*["{ok}"] * 9, '"{fault,down}"', '"{alarm,overridden}"', *["{ok}"] * 389]
    data = load(plant("Temp,Vib,Status", states, GOOD, "{t},{v},{qt}"))
    assert np.argwhere(np.isnan(data.streams[0].values)).tolist() == [[9, 0], [9, 1]]


@pytest.mark.parametrize("good", ["1", "1.0"])
@pytest.mark.parametrize("name", ["Validity", "Temp_valid"])
def test_one_is_good_in_a_column_of_validity(load: Load, name: str, good: str) -> None:
    codes = [good if i % 50 else ("0", "2")[i // 50 % 2] for i in range(400)]
    data = load(plant(f"Temp,{name}", codes, GOOD, "{t},{qt}"))
    assert data.feature_names == ["Temp"]
    assert np.flatnonzero(np.isnan(data.streams[0].values[:, 0])).tolist() == [*range(0, 400, 50)]


def test_one_is_bad_among_opcs_qualities_and_what_is_called_invalid_is_a_feature(
    load: Load,
) -> None:
    codes = ["1" if i == 9 else "192" for i in range(400)]
    data = load(plant("Temp,Validity", codes, GOOD, "{t},{qt}"))
    assert np.flatnonzero(np.isnan(data.streams[0].values[:, 0])).tolist() == [9]
    codes = ["0" if i == 9 else "1" for i in range(400)]
    data = load(plant("Temp,invalid,Vib", codes, GOOD, "{t},{qt},{v}"))
    assert data.feature_names == ["Temp", "invalid", "Vib"]


def test_qualities_of_opc_are_numbers(load: Load) -> None:
    codes = [str(216 if i % 50 else (0, 24, 64)[i // 50 % 3]) for i in range(400)]
    data = load(plant("Temp,Temp_Q,Vib", codes, GOOD, "{t},{qt},{v}"))
    assert data.feature_names == ["Temp", "Vib"]
    expected = [i for i in range(400) if float(codes[i]) < 64]
    assert np.flatnonzero(np.isnan(data.streams[0].values[:, 0])).tolist() == expected
    assert not np.isnan(data.streams[0].values[:, 1]).any()


@pytest.mark.parametrize(
    ("head", "good", "bad"),
    [("Temp,Temp_Valid", "TRUE", "FALSE"), ("Temp,Temp_Status", "OK", "NOK"),
     ("Temp,Temp StatusCode", "Good", "BadSensorFailure"), ("Temp,Temp.Good", "true", "false"),
     ("Temp,Temp StatusCode", "0x00000000", "0x80890000"),
     ("Temp,Temp Quality", "OK (0x0)", "The device failed (0x808B0000)"),
     ("Value,Validity", "1", "0"), ("Temp,Temp_Valid", "1", "0"), ("Temp,Güte", "gut", "schlecht"),
     ("Value,Good", "True", "False"), ("Value,dataintegrity", "192", "0")],
)  # fmt: skip
def test_other_words_of_named_pairs(load: Load, head: str, good: str, bad: str) -> None:
    words = [bad if i == 9 else good for i in range(400)]
    data = load(plant(f"{head},Vib", words, GOOD, "{t},{qt},{v}"))
    assert data.feature_names == [head.partition(",")[0], "Vib"]
    assert np.argwhere(np.isnan(data.streams[0].values)).tolist() == [[9, 0]]


@pytest.mark.parametrize("good", ["0", "100"])  # of OPC UA, and of Honeywell's and GE's historians
def test_numbers_that_may_be_qualities_are_said_to_be_features(load: Load, good: str) -> None:
    codes = [good] * 390 + ["2150891520" if good == "0" else "0"] * 10
    data = load(plant("Temp,Temp_Status,Vib", codes, GOOD, "{t},{qt},{v}"))
    assert data.feature_names == ["Temp", "Temp_Status", "Vib"]
    assert any("'Temp_Status' is read as a feature, not as the quality of Temp" in note
               for note in data.notes)  # fmt: skip


def test_excluded_qualities_judge_nothing(load: Load) -> None:
    text = plant("Temp,Temp_Q,Vib,Vib_Q", BAD_AT_9, BAD_LATE, "{t},{qt},{v},{qv}")
    assert not np.isnan(load(text, exclude="Temp_Q,Vib_Q").streams[0].values).any()


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        ("Temp,Status,Vib", ["RUN", "STOP"] * 200), ("Temp,Status,Vib", ["OK", "NOK"] * 200),
        ("Temp,Running,Vib", ["TRUE", "FALSE"] * 200), ("Temp,Grade,Vib", ["Good", "Bad"] * 200),
        ("Temp,Temp_Q,Vib", ["12", "300"] * 200), ("Temp,Q,Vib", ["190.5", "201.5"] * 200),
        ("Temp,Q,Vib", ["195", "201"] * 200), ("Temp,Good,Vib", ["true", "false"] * 200),
    ],
)  # fmt: skip
def test_what_is_no_quality_judges_nothing(load: Load, head: str, cells: list[str]) -> None:
    data = load(plant(head, cells, GOOD, "{t},{qt},{v}"))
    values = data.streams[0].values[:, [data.feature_names.index(n) for n in ("Temp", "Vib")]]
    assert not np.isnan(values).any()
