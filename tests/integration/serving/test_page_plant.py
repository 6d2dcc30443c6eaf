"""The page's screens of what is planned, and of what the plant says of itself."""

from __future__ import annotations

import html
import re
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, text

from db.fault_codes import fault_codes, put_fault_codes
from db.queries.schedules import off_conditions, put_off_conditions
from db.session import transaction
from serving.page.words import FIELD_WORDS
from tests.fixtures.incidents import make_incidents
from tests.integration.serving.page_forms import HOSTILE, hidden, messages, named


def test_what_names_a_group_that_no_model_has_is_said_to_have_no_effect(
    page: httpx.Client, stored: Engine
) -> None:
    who = {"form_token": named(page)}
    one = {"feature": "flow", "operator": "<", "value": 1.0, "hold_s": 0.0, "run_up_s": 0.0}
    groups = ("default", "def*", "retired pumps", "ret*")
    with transaction(stored) as connection:
        put_off_conditions(connection, [{**one, "group": name} for name in groups], "ANNA")
    shown = re.findall(r"no group <bdi>([^<]*)</bdi>: this has no effect", page.get("/plant").text)
    with transaction(stored) as connection:
        put_off_conditions(connection, [], "ANNA")
    assert sorted(shown) == ["ret*", "retired pumps"]
    window = {"start": "2131-01-01T10:00", "end": "2131-01-01T12:00", "alarms": "yes",
              "reason": f"window {uuid4()}", "group": "retired fans", "filled": "yes"}  # fmt: skip
    added = page.post("/maintenance", data=who | window | {"do": "add"}).text
    assert "no group <bdi>retired fans</bdi>: this has no effect" in added


def test_a_window_is_changed_where_it_is_as_it_was_shown(page: httpx.Client) -> None:
    who = {"form_token": named(page)}
    reason = f"window {uuid4()}"
    window = {"start": "2131-01-01T10:00", "end": "2131-01-01T12:00", "reason": reason,
              "alarms": "yes", "rrule": "FREQ=WEEKLY;BYDAY=SU", "filled": "yes"}  # fmt: skip
    assert "planned for the whole plant, as ANNA" in messages(
        page.post("/maintenance", data=who | window | {"do": "add"})
    )
    one = {name: hidden(page, "/maintenance", reason, name) for name in ("id", "version")}
    filled = page.post("/maintenance", data=who | one | {"do": "edit"}).text
    assert "Change the window" in filled
    assert 'value="2131-01-01T10:00:00"' in filled
    assert 'name="rrule" value="FREQ=WEEKLY;BYDAY=SU"' in filled
    assert re.search(r'name="training" value="yes">', filled)  # not ticked, as it was planned
    shown = page.post("/maintenance", data=who | one | window | {"do": "preview"}).text
    assert "Change the window" in shown
    assert '<li><time datetime="2131-01-07T10' in shown
    later = window | {"end": "2131-01-01T13:00", "rrule": "", "repeat": ""}
    changed = page.post("/maintenance", data=who | one | later | {"do": "change"})
    assert messages(changed) == "done The window is changed, as ANNA"
    assert "2131-01-01 13:00:00 UTC" in changed.text
    stale = page.post("/maintenance", data=who | one | later | {"do": "change"})
    refused = "failed somebody was faster: the window has version 2 now, changed by ANNA"
    assert messages(stale) == refused
    assert "2131-01-01T13:00" in stale.text  # what was typed is still there
    for do in ("end", "delete"):
        assert messages(page.post("/maintenance", data=who | one | {"do": do})) == refused
    now = {"version": "2"}
    early = page.post("/maintenance", data=who | one | now | {"do": "end"})
    assert re.search(r"failed To: 20\d\d-.* UTC does not lie after the start", messages(early))
    assert messages(page.post("/maintenance", data=who | {"do": "add"})) == (
        "failed From: is missing"
    )
    gone = page.post("/maintenance", data=who | one | now | {"do": "delete"})
    assert "is deleted" in messages(gone)
    assert reason not in gone.text
    again = page.post("/maintenance", data=who | one | now | {"do": "edit"})
    assert f"no maintenance window {one['id']}" in messages(again)


def test_a_window_in_force_is_ended_and_one_that_repeats_is_not(page: httpx.Client) -> None:
    who = {"form_token": named(page)}
    for rule, message in (
        ("", "done The window is ended"),
        ("FREQ=DAILY", "failed a recurring window"),
    ):
        reason = f"window {uuid4()}"
        # of no asset: for the whole plant it would mute what later tests send
        window = {"start": "2020-01-01T10:00", "end": "2020-12-01T12:00", "rrule": rule,
                  "reason": reason, "alarms": "yes", "do": "add",
                  "asset_id": "NONE"}  # fmt: skip
        if not rule:
            window |= {"end": "2090-01-01T10:00"}
        page.post("/maintenance", data=who | window)
        one = {name: hidden(page, "/maintenance", reason, name) for name in ("id", "version")}
        ended = page.post("/maintenance", data=who | one | {"do": "end"})
        assert message in messages(ended)
        if not rule:
            assert "over" in ended.text[ended.text.index(reason) - 400 :]


OFF = {"list": "off", "group": "default", "feature": "current", "operator": "<",
       "value": "0.5", "hold_s": "60"}  # fmt: skip


def test_off_conditions_are_tried_added_changed_and_removed(
    page: httpx.Client, stored: Engine
) -> None:
    who = {"form_token": named(page)}
    with transaction(stored) as connection:
        put_off_conditions(connection, [], "TEST")
    tried = page.post("/plant", data=who | OFF | {"do": "try"}).text
    sentence = "machines of group default, while current &lt; 0.5 for 60 s"
    assert f"It means: {sentence}." in tried
    assert "No condition is set" in tried
    added = page.post("/plant", data=who | OFF | {"do": "keep"})
    assert html.unescape(messages(added)) == f"done From now on: {html.unescape(sentence)}, as ANNA"
    twice = page.post("/plant", data=who | OFF | {"do": "keep"})
    assert "0.5 is already on the list" in messages(twice)
    with httpx.Client(base_url=page.base_url, trust_env=False, timeout=60) as other:
        ben = {"form_token": named(other, "BEN"), "value": "9", "do": "keep"}
        assert "as BEN" in messages(other.post("/plant", data=OFF | ben))
    with transaction(stored) as connection:  # what stays is still its author's
        assert [row["changed_by"] for row in off_conditions(connection)] == ["ANNA", "BEN"]
        put_off_conditions(connection, off_conditions(connection)[:1], "CARL")
        assert [row["changed_by"] for row in off_conditions(connection)] == ["ANNA"]
    before = {"before": hidden(page, "/plant", sentence, "before")}
    filled = page.post("/plant", data=who | before | {"list": "off", "do": "edit"}).text
    assert 'name="value" value="0.5"' in filled
    assert ">Change it<" in filled
    changed = page.post("/plant", data=who | OFF | before | {"value": "0.7", "do": "keep"})
    assert "current &lt; 0.7" in changed.text
    assert "current &lt; 0.5" not in changed.text
    for do in ("keep", "remove", "edit"):
        stale = page.post("/plant", data=who | OFF | before | {"do": do})
        assert "somebody was faster: this entry was changed" in messages(stale)
    before = {"before": hidden(page, "/plant", "current &lt; 0.7", "before")}
    assert "No longer" in messages(
        page.post("/plant", data=who | before | {"list": "off", "do": "remove"})
    )
    with transaction(stored) as connection:
        assert off_conditions(connection) == []


@pytest.mark.parametrize(
    ("fields", "named_field"),
    [
        (OFF | {"value": "much"}, "value"), (OFF | {"value": "0,5"}, "value"),
        (OFF | {"value": "nan"}, "value"),
        (OFF | {"value": ""}, "value"), (OFF | {"operator": "~"}, "operator"),
        (OFF | {"group": ""}, "group"), (OFF | {"feature": "f" * 300}, "feature"),
        (OFF | {"hold_s": "-1"}, "hold_s"), (OFF | {"run_up_s": "1e99"}, "run_up_s"),
        ({"list": "codes", "code": "", "name": "x"}, "code"),
        ({"list": "codes", "code": "X", "name": ""}, "name"),
        ({"list": "codes", "code": "X", "name": "n", "action": "a" * 2001}, "action"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_entry_is_named_and_stays_typed(
    page: httpx.Client, fields: dict[str, str], named_field: str
) -> None:
    answer = page.post("/plant", data=fields | {"do": "keep", "form_token": named(page)})
    label = FIELD_WORDS.get(named_field, named_field)
    assert messages(answer).startswith(f"failed {label}: ")
    assert "Expected `float`, got `str`" not in answer.text
    typed = max(fields.values(), key=len)
    assert html.escape(typed) in answer.text


def test_fault_codes_become_the_plants_own_and_the_shipped_ones_come_back(
    page: httpx.Client, stored: Engine
) -> None:
    who = {"form_token": named(page), "list": "codes"}
    with transaction(stored) as connection:
        put_fault_codes(connection, [], "TEST")
    assert "the list that came with the program" in page.get("/plant").text
    code = {"code": "LEAK", "name": HOSTILE, "action": "close the valve"}
    added = page.post("/plant", data=who | code | {"do": "keep"})
    assert "From now on: fault code LEAK" in messages(added)
    assert "the plant's own list" in html.unescape(added.text)
    assert "<img" not in added.text
    assert "is already on the list" in messages(
        page.post("/plant", data=who | code | {"do": "keep"})
    )
    before = {"before": hidden(page, "/plant", ">LEAK<", "before")}
    renamed = {"code": "LEAK", "name": "A leak", "do": "keep"}
    assert "LEAK, A leak" in messages(page.post("/plant", data=who | before | renamed))
    assert "faster" in messages(page.post("/plant", data=who | before | {"do": "remove"}))
    with transaction(stored) as connection:
        codes, own = fault_codes(connection)
    assert own
    assert codes[-1] == {"code": "LEAK", "name": "A leak", "action": ""}
    with transaction(stored) as connection:
        put_fault_codes(connection, codes[-1:], "TEST")
    only = {"before": hidden(page, "/plant", ">LEAK<", "before"), "do": "remove"}
    assert "the plant's only code" in html.unescape(messages(page.post("/plant", data=who | only)))
    lines = "A1\tPump cavitates\tOpen the inlet\r\n\r\nB2; Belt slips\n"
    replaced = page.post("/plant", data=who | {"lines": lines, "do": "replace"})
    assert "these 2 fault codes" in messages(replaced)
    with transaction(stored) as connection:
        assert fault_codes(connection)[0] == [
            {"code": "A1", "name": "Pump cavitates", "action": "Open the inlet"},
            {"code": "B2", "name": "Belt slips", "action": ""},
        ]
    for lines, message in (
        ("A;b\nA;c", "is there twice"), ("A", "fault_codes[0].name: is missing"), (" ", "lines"),
    ):  # fmt: skip
        wrong = page.post("/plant", data=who | {"lines": lines, "do": "replace"})
        assert f"failed {message}" in messages(wrong) or message in messages(wrong)
    shipped = page.post("/plant", data=who | {"do": "shipped"})
    assert "BEARING" in shipped.text
    with transaction(stored) as connection:
        assert not fault_codes(connection)[1]


def test_a_long_log_is_read_page_by_page(page: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    with transaction(stored) as connection:
        many = """
            INSERT INTO incident_log
                (incident_id, occurred_at, version, who, what, why, before, after)
            SELECT :id, now(), 1, 'BEN', 'commented', 'remark ' || n, '{}', '{}'
            FROM generate_series(1, 450) AS n
        """
        connection.execute(text(many), {"id": one})
    seen: list[str] = []
    path = f"/incidents/{one}"
    while path:
        shown = page.get(path).text
        seen = re.findall(r"<bdi>remark (\d+)</bdi>", shown) + seen
        link = re.search(r'href="([^"]+)#h-log">Earlier entries', shown)
        assert ("The newest entries" in shown) == ("log_before" in path)
        path = link[1] if link else ""
    assert seen == [str(n) for n in range(1, 451)]
    assert page.get(f"/incidents/{one}?log_before=x").status_code == 422
