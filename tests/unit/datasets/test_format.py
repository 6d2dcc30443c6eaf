"""How a file is to be read: options of the command line, checked by name."""

from __future__ import annotations

import argparse

import pytest

from datasets.format import FileFormat, add_format_arguments, format_of, names_in, parse_roles
from errors import DatasetError


def given(*options: str) -> FileFormat:
    parser = argparse.ArgumentParser()
    add_format_arguments(parser)
    return format_of(parser.parse_args(options))


def test_nothing_given_is_the_default():
    assert given() == FileFormat(null=[])
    assert given().to_dict() == {"null": []} or given().to_dict() == {}


def test_every_option_comes_through():
    form = given(
        "--columns", 'asset_id=Unit,timestamp="Date, Time"', "--exclude", "a,b", "--label", "y",
        "--time-format", "%d.%m.%Y", "--time-zone", "Europe/Berlin", "--decimal", ",",
        "--delimiter", "tab", "--encoding", "cp1252", "--null=-200, -999", "--null", "void",
        "--no-header",
    )  # fmt: skip
    assert form == FileFormat(
        columns={"asset_id": "Unit", "timestamp": "Date, Time"}, exclude="a,b", label="y",
        time_format="%d.%m.%Y", time_zone="Europe/Berlin", decimal=",", delimiter="\t",
        encoding="cp1252", null=["-200", "-999", "void"], header=False,
    )  # fmt: skip
    assert FileFormat(**form.to_dict()) == form


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"columns": {"pressure": "P"}}, "columns"), ({"decimal": ";"}, "decimal"),
        ({"delimiter": "::"}, "delimiter"), ({"delimiter": ",", "decimal": ","}, "delimiter"),
        ({"time_unit": "h"}, "time-unit"), ({"time_unit": "s", "time_format": "%Y"}, "time-format"),
        ({"label": "y", "columns": {"label": "z"}}, "label"), ({"encoding": "utf-9"}, "encoding"),
        ({"asset_id": "A", "columns": {"asset_id": "Unit"}}, "asset-id"),
        ({"time_zone": "Mars/Olympus"}, "time-zone"), ({"time_format": "%Q"}, "time-format"),
        ({"time_format": "%H:%M:%S"}, "time-format"), ({"time_format": "%a %I %p"}, "time-format"),
        ({"time_format": "YYYY-MM-DD"}, "time-format"), ({"time_format": "%Y-%"}, "time-format"),
        ({"time_format": "%d.%m. %H:%M"}, "time-format"),  # without a year all would be of 1900
        ({"time_format": "%Y %U %H:%M"}, "time-format"), ({"time_format": "%G-%V"}, "time-format"),
        ({"time_format": "%d.%d.%Y"}, "time-format"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(wrong, option):
    with pytest.raises(DatasetError, match=f"^--{option}: ") as caught:
        FileFormat(**wrong)
    assert caught.value.field == option


def test_a_list_of_columns_may_hold_names_with_commas():
    columns = ["a", "b, c", "d"]
    assert names_in("a,b, c", columns, "features") == ["a", "b, c"]
    assert names_in("'b, c',d", columns, "features") == ["b, c", "d"]
    assert names_in(["d"], columns, "features") == ["d"]
    with pytest.raises(DatasetError, match="--features: column 'x' is missing; it has a, b, c, d"):
        names_in("a,x", columns, "features")


def test_roles_are_a_list_of_assignments():
    assert parse_roles("asset_id=A, sensor_id=B") == {"asset_id": "A", "sensor_id": "B"}
    assert parse_roles("") == {}
    with pytest.raises(DatasetError, match="ROLE=COLUMN"):
        parse_roles("Unit")


@pytest.mark.parametrize("given", ["a,b,a", ["a", "b", "a"]])
def test_a_column_that_is_named_twice_is_one_column(given):
    assert names_in(given, ["a", "b"], "features") == ["a", "b"]


@pytest.mark.parametrize(("typed", "meant"), [("Temp", "temp"), ("presure", "Pressure")])
def test_a_wrong_name_is_compared_with_those_there_are(typed, meant):
    with pytest.raises(DatasetError, match=rf"{typed!r} is missing \(did you mean {meant!r}\?\)"):
        names_in(typed, ["asset_id", "temp", "Pressure", ""], "features")


def test_a_role_has_one_column():
    with pytest.raises(DatasetError, match="--columns: asset_id is given twice: 'Unit' and 'Id'"):
        parse_roles("asset_id=Unit,asset_id=Id")
