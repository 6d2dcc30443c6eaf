"""Show and edit the plant's off conditions and fault codes.

REST replaces each list as a whole. The page changes one entry at a time, under a lock, and only if
the entry is still as it was shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from db.fault_codes import fault_codes, put_fault_codes
from db.queries.readings import recent_readings
from db.queries.schedules import off_conditions, put_off_conditions
from errors import AnomalyError, InputError, PreconditionFailed
from models.scoring.maintenance.suppression import OPERATORS
from serving.page.forms import Form
from serving.page.pages import Messages, failed, message
from serving.page.views.screen import GroupScreen
from serving.page.words import mark, when_off
from serving.requests.feedback_bodies import MAX_CODES, FaultCode, FaultCodes, fault_code_rows
from serving.requests.suppression_bodies import MAX_PLANS, Condition, off_condition_row
from serving.requests.wire import convert, read_parameters

Row = dict[str, Any]
#: Number of the group's newest readings that a condition is tried on.
TRIED: Final = 1000
#: Maximum age of these readings in days, so that an unknown group does not scan the whole history.
TRIED_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class _List:
    """One of the lists: how to read (under a lock) and write it, and its entries.

    ``key`` are the fields that identify an entry, ``names`` all fields of the form.
    """

    read: Callable[[Connection], list[Row]]
    write: Callable[[Connection, list[Row], str], object]
    entry: Callable[[dict[str, str]], Row]
    name: Callable[[Row], str]
    key: tuple[str, ...]
    names: tuple[str, ...]
    max_entries: int


class PlantViews(GroupScreen):
    """Show and edit the two lists."""

    async def act(self, request: Request) -> Response:
        """Try, add, change or delete an entry, or replace all fault codes."""
        form = await self.forms.read(request)
        which = "off" if form.text("list") == "off" else "codes"
        typed = {name: form.text(name) for name in (*_LISTS[which].names, "before")}
        try:
            report, typed = await self.database.run(_act, form, which)
        except AnomalyError as error:
            return await self.show(request, [failed(error)], {which: typed})
        if form.text("do") == "try":
            return await self.show(request, (), {which: typed}, report)
        messages = [message("done", f"{report}, as {form.who}")] if report else []
        return await self.show(request, messages, {which: typed})

    async def show(
        self,
        request: Request,
        messages: Messages = (),
        typed: dict[str, dict[str, Any]] | None = None,
        tried: str | None = None,
    ) -> Response:
        """Show both lists.

        Parameters
        ----------
        request : Request
        messages : sequence of dict
            Messages at the top.
        typed : dict, optional
            Content of each list's form.
        tried : str, optional
            Result of trying a condition.
        """
        content, status = await self.content(_lists, without={"off": [], "codes": [], "own": False})
        typed = {"off": {}, "codes": {}, **(typed or {})}
        return await self.pages.show(
            request, "plant.html", status, messages=messages, typed=typed, tried=tried,
            operators=list(OPERATORS), readable=status == 200,
            unknown=self.unknown(row["group"] for row in content["off"]), **content,
        )  # fmt: skip


def _lists(connection: Connection) -> dict[str, Any]:
    codes, own = fault_codes(connection)
    return {"off": off_conditions(connection), "codes": codes, "own": own}


def _act(connection: Connection, form: Form, which: str) -> tuple[str, dict[str, Any]]:
    """Run the action of a button; return the message and the form's new content."""
    listed, do = _LISTS[which], form.text("do")
    if do in ("replace", "shipped") and which == "codes":
        return _replace_codes(connection, form, do), {}
    before = form.text("before")
    given = {name: value for name in listed.names if (value := form.text(name))}
    if do == "try":  # changes nothing and may take long, so it needs no lock
        return _tried(connection, listed.entry(given)), {**given, "before": before}
    rows = listed.read(connection)
    at = next((n for n, row in enumerate(rows) if mark(row) == before), None)
    if before is not None and at is None:
        raise PreconditionFailed("before: this entry was changed or deleted since it was shown")
    if at is not None and do == "edit":
        return "", {**rows[at], "before": before}
    if at is not None and do == "remove":
        gone = rows.pop(at)
        if which == "codes" and not rows:
            raise InputError(
                "this is the plant's only code: without any code the shipped list applies again"
                " (use its own button for that)"
            )
        listed.write(connection, rows, form.who)
        return f"No longer: {listed.name(gone)}", {}
    row = listed.entry(given)
    _insert(rows, row, at, listed)
    listed.write(connection, rows, form.who)
    return f"From now on: {listed.name(row)}", {}


def _insert(rows: list[Row], row: Row, at: int | None, listed: _List) -> None:
    """Replace an entry, or append one."""
    for n, other in enumerate(rows):
        if n != at and all(other[name] == row[name] for name in listed.key):
            name = listed.key[-1]
            raise InputError(f"{name}: {row[name]!r:.80} is already on the list", field=name)
    if at is None and len(rows) >= listed.max_entries:
        raise InputError(f"the list is full: it has {listed.max_entries} entries")
    if at is None:
        rows.append(row)
    else:
        rows[at] = row


def _tried(connection: Connection, row: Row) -> str:
    """Describe a condition, and how many recent readings meet it."""
    feature = row["feature"]
    if set("*?[") & set(row["group"]):
        return f"It means: {when_off(row)}. Only a full group name is tried on readings."
    start = datetime.now(UTC) - timedelta(days=TRIED_DAYS)
    found = recent_readings(connection, TRIED, row["group"], start)
    readings = [features for features, _ in found]
    known = [one[feature] for one in readings if feature in one]
    meaning = f"It means: {when_off(row)}."
    if not readings:
        return f"{meaning} There is no reading of this group in the last {TRIED_DAYS} days."
    if not known:
        return f"{meaning} None of the group's newest {len(readings)} readings has this feature."
    holds = sum(OPERATORS[row["operator"]](value, row["value"]) for value in known)
    return f"{meaning} Of the group's newest {len(known)} readings {holds} meet it."


def _replace_codes(connection: Connection, form: Form, do: str) -> str:
    """Replace all fault codes by lines from a spreadsheet, or by the shipped list."""
    if do == "shipped":
        put_fault_codes(connection, [], form.who)
        return "The shipped list is in use again"
    entries = []
    for line in (form.text("lines") or "").splitlines():
        if line.strip():
            parts = line.split("\t" if "\t" in line else ";", 2)
            names = dict(zip(("code", "name", "action"), map(str.strip, parts), strict=False))
            entries.append(names)
    if not entries:
        raise InputError("lines: contains no fault code", field="lines")
    codes = fault_code_rows(convert(FaultCodes, {"fault_codes": entries}))
    put_fault_codes(connection, codes, form.who)
    return f"The plant's list now has these {len(codes)} fault codes"


_LISTS: Final = {
    "off": _List(
        partial(off_conditions, lock=True), put_off_conditions,
        lambda given: off_condition_row(read_parameters(Condition, given)), when_off,
        ("group", "feature", "operator", "value"),
        ("group", "feature", "operator", "value", "hold_s", "run_up_s"), MAX_PLANS,
    ),
    "codes": _List(
        lambda connection: fault_codes(connection, lock=True)[0], put_fault_codes,
        lambda given: msgspec.structs.asdict(convert(FaultCode, given)),
        lambda row: f"fault code {row['code']}, {row['name']}",
        ("code",), ("code", "name", "action"), MAX_CODES,
    ),
}  # fmt: skip
