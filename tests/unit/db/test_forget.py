"""Which columns of which tables may hold a person's name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlmodel import SQLModel

import db.incident_tables
import db.tables  # noqa: F401 (fills the metadata)
from db import forget
from db.incident_lifecycle import SYSTEM
from errors import InputError

NOT_PEOPLE = {"by_closing", "suppressed_by"}  # a flag, and a window or condition


def test_every_column_that_names_somebody_is_known() -> None:
    named = re.compile(r"\w+_by|who|assignee")
    for table in SQLModel.metadata.sorted_tables:
        columns = {one.name for one in table.columns if named.fullmatch(one.name)} - NOT_PEOPLE
        assert columns == set(forget._NAMES.get(table.name, ())), table.name


def test_every_column_of_notes_exists() -> None:
    for table, columns in forget._TEXTS.items():
        assert set(columns) <= set(SQLModel.metadata.tables[table].columns.keys())


@pytest.mark.parametrize("name", [SYSTEM, "anonymous"])
def test_what_is_no_person_is_not_forgotten(name: str) -> None:
    nobody: Any = None
    with pytest.raises(InputError, match="not the name of a person"):
        forget.forget(nobody, name)
