"""What receivers are sent: whatever an incident holds is text in it."""

from __future__ import annotations

import orjson

from notify import messages
from tests.unit.notify.changes import AT, change

LINK = "https://plant.example/{id}"


def test_a_system_gets_the_incident_and_what_happened() -> None:
    one = change("unshelved", why="its time is up", who="system")
    content = orjson.loads(messages.body(one))
    assert content["asset_id"] == "TEST"
    assert content["change"]["what"] == "opened"  # as whoever is notified sees it
    assert content["change"]["id"] == messages.change_id(one) == f"{one.incident['id']}-7"


def test_a_title_is_one_printable_line() -> None:
    one = change(asset_id="P\r\nBcc: x@y", sensor_id="S1", why="a\x1bb" + "x" * 300)
    title = messages.title(one)
    assert title.startswith("[high] P Bcc: x@y / S1: opened (a b")
    assert title.isprintable()
    assert len(title) == 200


def test_a_person_reads_who_did_what_and_where_to_look() -> None:
    peak = {"features": [{"feature": "rms", "actual": 9.71, "expected": None}]}
    facts = dict(messages.facts(change("closed", who="ANNA", peak=peak), LINK))
    assert (facts["by"], facts["began"]) == ("ANNA", "2026-01-01 12:00:00 UTC")
    assert facts["furthest from expected"] == "rms 9.71 (expected ?)"
    since = "2026-01-01T11:40:00+00:00"
    silent = {"features": [{"feature": "flow", "actual": None, "no_value_since": since}]}
    fallen = dict(messages.facts(change("opened", peak=silent), None))
    assert fallen["furthest from expected"] == f"no value from flow since {since}"
    assert facts["more"].startswith("https://plant.example/")
    assert "{id}" not in facts["more"]
    process = dict(messages.facts(change("opened", who="system"), None))
    assert "by" not in process
    assert "more" not in process


def test_html_escapes_all_that_an_incident_holds() -> None:
    page = messages.html([change(asset_id='<b>"A"</b>')], "https://plant.example/{id}?a=1&b=2")
    assert "<b>" not in page
    assert "&lt;b&gt;&quot;A&quot;&lt;/b&gt;" in page
    assert "?a=1&amp;b=2</a>" in page


def test_several_changes_are_a_line_each_up_to_a_bound() -> None:
    several = [change(asset_id=name) for name in "ABC"]
    lines = messages.plain(several, LINK, max_lines=2).split("\n")
    assert len(lines) == 3
    assert lines[0].startswith(f"{AT:%Y-%m-%d %H:%M:%S} UTC  [high] A: opened")
    assert lines[2] == "... and 1 more"
    assert messages.html(several, LINK).count("<tr>") == 3
    assert messages.subject(several) == "3 changes of 3 incidents"
    assert messages.subject(several[:1]) == messages.title(several[0])
