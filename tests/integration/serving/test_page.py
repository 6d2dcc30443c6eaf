"""The operator's page without a browser: what it lists, whom it lets do what, what it refuses."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, make_url, text

from db.fault_codes import fault_codes, put_fault_codes
from db.incident_tables import STATES
from db.queries.schedules import off_conditions, put_off_conditions
from db.session import make_engine, transaction
from serving.page.words import FIELD_WORDS
from tests.fixtures.postgres import run_admin
from tests.fixtures.service import MakeService, Service, free_port
from tests.integration.serving.test_incidents_api import make

HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}\u202e</script>"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def stored(service_database_url: str) -> Iterator[Engine]:
    engine = make_engine(service_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def page(service: Service) -> Iterator[httpx.Client]:
    with visit(service) as client:
        yield client


def visit(service: Service) -> httpx.Client:
    return httpx.Client(base_url=service.url, trust_env=False, timeout=30, follow_redirects=True)


def token(text: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', text)
    assert found is not None, text[:3000]
    return found[1]


def named(page: httpx.Client, name: str = "ANNA") -> str:
    """Give a name, as a person does once; the token of its forms."""
    first = page.get("/login")
    page.post("/login", data={"who": name, "form_token": token(first.text)})
    return token(page.get("/login").text)


def messages(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    found = re.findall(r'<p class="message (\w+)">(.*?)</p>', answer.text, re.S)
    return "\n".join(f"{kind} {re.sub('<.*?>', '', text)}" for kind, text in found)


def version(page: httpx.Client, one: str) -> str:
    found = re.search(r'data-version="(\d+)"', page.get(f"/incidents/{one}").text)
    assert found is not None
    return found[1]


def test_every_screen_keeps_other_origins_out(page: httpx.Client) -> None:
    answer = page.get("/")
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    stranger = {"x-forwarded-proto": "https"}  # of nobody who is trusted
    assert "; secure" not in httpx.get(page.base_url, headers=stranger).headers["set-cookie"]
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    refused = page.post("/", data={"verb": "acknowledge"}, headers=foreign)
    assert refused.status_code == 403
    assert "Acknowledge" not in refused.text


def test_files_are_kept_by_browsers_for_a_year(page: httpx.Client) -> None:
    address = re.search(r'src="(/static/\w+/page\.js)"', page.get("/").text)
    assert address is not None
    answer = page.get(address[1])
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert page.get("/static/x/../../../config.py").status_code == 404
    assert page.get("/static/x/vendor/manifest.json").status_code == 404


def test_states_have_their_tabs_and_counts(page: httpx.Client, stored: Engine) -> None:
    asset = f"TABS {uuid4()}"
    make(stored, asset)
    text = page.get("/", params={"asset_id": asset}).text
    assert [name for name in STATES if f"state={name}" in text] == list(STATES)
    assert re.search(r"Open, unacknowledged <span class=\"count\">1</span>", text)
    assert asset in text
    closed = page.get("/", params={"asset_id": asset, "state": "closed"}).text
    assert "No incident of this state fits these filters" in closed
    assert "names are compared as a whole" not in closed
    pattern = page.get("/", params={"asset_id": "TABS *"}).text
    assert "names are compared as a whole" in pattern


def test_a_wrong_filter_is_named_and_the_frame_stays(page: httpx.Client) -> None:
    answer = page.get("/", params={"start_date": "tomorrow"})
    assert answer.status_code == 422
    assert "tomorrow" in answer.text
    assert 'aria-label="Screens"' in answer.text
    assert page.get("/", params={"asset_id": ""}).status_code == 200


def test_hostile_text_stays_text(page: httpx.Client, stored: Engine) -> None:
    asset = f"{HOSTILE}{uuid4()}"
    [one] = make(stored, asset)
    form = named(page, HOSTILE)
    fields = {"form_token": form, "verb": "comment", "why": HOSTILE}
    page.post(f"/incidents/{one}", data=fields)
    for path in ("/?state=all", f"/incidents/{one}"):
        text = page.get(path).text
        assert html.escape(asset, quote=False)[:20] in text.replace("&#34;", '"')
        assert "<img" not in text
        assert "49" not in re.sub(r"[0-9a-f-]{36}|\d{2,}", "", text)


@pytest.mark.parametrize(
    "fields",
    [
        {"verb": "comment", "why": "a\0b"}, {"verb": "comment", "why": "x", "once": "a\0b"},
        {"verb": "comment", "why": "x", "once": "y" * 10_000}, {"verb": "comment", "a\0b": "c"},
        {"do": "reset", "why": "a\0b"}, {"do": "reset", "sensor_id": "s" * 300},
        {"do": "criticality", "criticality": "high", "why": "x" * 10_000},
        {"do": "criticality", "criticality": "high\0"}, {"do": "promote", "version": "9" * 200},
        {"do": "promote", "version": "1", "why": "x" * 10_000},
    ],
)  # fmt: skip
def test_odd_fields_of_forms_are_named(
    page: httpx.Client, stored: Engine, fields: dict[str, str]
) -> None:
    [one] = make(stored)
    path = f"/incidents/{one}" if "verb" in fields else "/assets/A"
    path = "/models" if fields.get("do") == "promote" else path
    answer = page.post(path, data={"form_token": named(page), **fields})
    answered = answer.text if answer.status_code == 422 else messages(answer)
    assert "holds a NUL" in answered or "failed" in answered
    assert "unexpected" not in answered


def test_whoever_gives_a_name_stays_where_they_were(page: httpx.Client) -> None:
    for where in ("/?state=closed&asset_id=A", "/assets/A?sensor_id=S1"):
        shown = page.get(where).text
        found = re.search(r'name="next" value="([^"]*)"', shown)
        assert found is not None
        form = {"form_token": token(shown), "next": html.unescape(found[1])}
        answer = page.post("/login", data=form | {"who": "ANNA"})
        assert answer.url.raw_path.decode() == where
        page.cookies.clear()


def test_no_other_site_is_gone_on_to(page: httpx.Client) -> None:
    for where in ("//evil.example/?x", "https://evil.example/", "/\\evil.example", "?state=all"):
        form = {"who": "ANNA", "form_token": token(page.get("/login").text), "next": where}
        assert page.post("/login", data=form).url == page.base_url.join("/")


def test_a_script_is_sent_on_to_an_address_of_any_text(page: httpx.Client) -> None:
    form = {"who": "ANNA", "form_token": token(page.get("/login").text), "next": "/fleet?x=é日\x01"}
    answer = page.post("/login", data=form, headers={"hx-request": "true"})
    assert answer.headers["hx-redirect"] == "/fleet?x=%C3%A9%E6%97%A5%01"


@pytest.mark.parametrize("span", ["end_date=0001-01-01", "start_date=9999-12-31T23:00"])
def test_spans_at_the_calendars_ends_are_drawn(
    page: httpx.Client, stored: Engine, span: str
) -> None:
    asset = f"ENDS\n{uuid4()}"
    make(stored, asset)
    assert page.get(f"/assets/{quote(asset, safe='')}?{span}").status_code == 200


def test_one_click_acknowledges_in_the_name_given_once(page: httpx.Client, stored: Engine) -> None:
    asset = f"CLICK {uuid4()}"
    [one] = make(stored, asset)
    first = page.get("/", params={"asset_id": asset}).text
    assert "give your name once" in first
    assert ">Acknowledge" not in first
    unnamed = page.post("/", data={"acknowledge": f"{one}:1", "form_token": token(first)})
    assert unnamed.status_code == 422
    assert "give your name first" in unnamed.text
    form = named(page)
    assert ">Acknowledge" in page.get("/", params={"asset_id": asset}).text
    done = page.post("/", data={"acknowledge": f"{one}:1", "form_token": form})
    assert messages(done) == "done The incident acknowledged, as ANNA"
    assert "acknowledged by <bdi>ANNA</bdi>" in page.get("/?state=open-acknowledged").text.replace(
        '</span> ', " ").replace('<span class="quiet">', "")  # fmt: skip


def test_in_bulk_each_failure_is_told(page: httpx.Client, stored: Engine) -> None:
    assets = [f"BULK {uuid4()}" for _ in range(3)]
    ids = [make(stored, asset)[0] for asset in assets]
    form = named(page)
    closing = {"verb": "close", "version": "1", "form_token": form}
    assert "closed" in messages(page.post(f"/incidents/{ids[1]}", data=closing))
    picked = {"incident": [f"{ids[0]}:1", f"{ids[1]}:2", f"{ids[2]}:7", f"{UUID(int=7)}:1"]}
    shown = messages(page.post("/", data={**picked, "verb": "acknowledge", "form_token": form}))
    assert "done 1 incident acknowledged, as ANNA" in shown
    assert f"failed {assets[1]}: incident {ids[1]} was closed by ANNA: reopen it" in shown
    assert f"failed {assets[2]}: somebody was faster" in shown
    assert f"failed no incident {UUID(int=7)}" in shown
    nothing = messages(page.post("/", data={"verb": "acknowledge", "form_token": form}))
    assert nothing == "failed no incident is selected: tick some first"
    unreasoned = {**picked, "verb": "shelve", "seconds": "60", "form_token": form}
    assert messages(page.post("/", data=unreasoned)) == "failed Because: is missing"


def test_the_second_is_told_who_won(service: Service, stored: Engine) -> None:
    [one] = make(stored)
    with visit(service) as anna, visit(service) as ben:
        forms = named(anna), named(ben, "BEN")
        seen = version(anna, one)
        for client, form in zip((anna, ben), forms, strict=True):
            fields = {"verb": "acknowledge", "version": seen, "form_token": form}
            answer = messages(client.post(f"/incidents/{one}", data=fields))
    assert "somebody was faster: acknowledged by ANNA at 2" in answer


def test_the_same_form_sent_twice_takes_effect_once(page: httpx.Client, stored: Engine) -> None:
    [one] = make(stored)
    named(page)
    text = page.get(f"/incidents/{one}").text
    once = re.search(r'name="once" value="(\w+)"', text)
    assert once is not None
    fields = {"verb": "acknowledge", "version": "1", "form_token": token(text), "once": once[1]}
    assert "acknowledged" in messages(page.post(f"/incidents/{one}", data=fields))
    assert messages(page.post(f"/incidents/{one}", data=fields)).startswith("done Nothing")


def test_a_list_is_a_spreadsheet_too(page: httpx.Client, stored: Engine) -> None:
    asset = f"=CSV {uuid4()}"
    make(stored, asset)
    answer = page.get("/incidents.csv", params={"asset_id": asset, "state": "all"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.count(f"'{asset}") == 1


def test_an_incident_that_lasts_says_so(page: httpx.Client, stored: Engine) -> None:
    asset = f"LASTS {uuid4()}"
    [one] = make(stored, asset)
    assert "Lasts" not in page.get(f"/incidents/{one}").text
    with transaction(stored) as connection:
        change = "UPDATE incidents SET persistent = true, cleared_at = NULL WHERE id = :id"
        connection.execute(text(change), {"id": one})
    assert "closing this makes the level normal" in page.get(f"/incidents/{one}").text
    assert ">lasts<" in page.get("/", params={"asset_id": asset, "state": "all"}).text
    header, first = page.get(
        "/incidents.csv", params={"asset_id": asset, "state": "all"}
    ).text.splitlines()
    assert (header.split(",")[-1], first.split(",")[-1]) == ("persistent", "True")


def test_an_asset_that_only_rest_knows_is_drawn(page: httpx.Client, stored: Engine) -> None:
    asset = f"REST/{uuid4()}"
    make(stored, asset)
    shown = page.get("/assets/" + asset.replace("/", "%2F")).text
    assert "data-chart=" in shown
    assert "no sensor named" in shown


def test_a_form_of_another_visit_changes_nothing(page: httpx.Client, stored: Engine) -> None:
    [one] = make(stored)
    form = named(page)
    for given in ("", "0" * 64, form[:-1]):
        fields = {"verb": "acknowledge", "version": "1", "form_token": given}
        refused = page.post(f"/incidents/{one}", data=fields)
        assert refused.status_code == 403
        assert "another session" in refused.text
    with httpx.Client(base_url=page.base_url, trust_env=False) as without_cookie:
        fields = {"verb": "acknowledge", "version": "1", "form_token": form}
        assert without_cookie.post(f"/incidents/{one}", data=fields).status_code == 403
    assert version(page, one) == "1"


def test_what_an_incident_does_not_know_is_said(page: httpx.Client, stored: Engine) -> None:
    [one] = make(stored)
    text = page.get(f"/incidents/{one}").text
    assert "score 0.6, no feature stands out" in text
    assert "As a table" in text
    missing = page.get(f"/incidents/{UUID(int=9)}")
    assert missing.status_code == 404
    assert "no incident" in missing.text
    assert page.get("/incidents/none").status_code == 404


def test_the_line_says_what_is_there(page: httpx.Client, stored: Engine) -> None:
    make(stored)
    text = page.get("/working").text
    assert re.search(r"\d+ open and unacknowledged", text)
    assert "Model " in text


# -- what is planned, and what the plant says of itself -------------------------------------------


def hidden(page: httpx.Client, path: str, around: str, name: str) -> str:
    """A hidden field of the form that follows a text on a screen."""
    text = page.get(path).text
    found = re.search(rf'name="{name}" value="([^"]*)"', text[text.index(around) :])
    assert found is not None
    return found[1]


def test_a_window_is_changed_where_it_is_as_it_was_shown(page: httpx.Client) -> None:
    who = {"form_token": named(page)}
    reason = f"window {uuid4()}"
    window = {"start": "2031-01-01T10:00", "end": "2031-01-01T12:00", "reason": reason,
              "alarms": "yes", "rrule": "FREQ=WEEKLY;BYDAY=SU", "filled": "yes"}  # fmt: skip
    assert "planned, as ANNA" in messages(
        page.post("/maintenance", data=who | window | {"do": "add"})
    )
    one = {name: hidden(page, "/maintenance", reason, name) for name in ("id", "version")}
    filled = page.post("/maintenance", data=who | one | {"do": "edit"}).text
    assert "Change the window" in filled
    assert 'value="2031-01-01T10:00:00"' in filled
    assert 'name="rrule" value="FREQ=WEEKLY;BYDAY=SU"' in filled
    assert re.search(r'name="training" value="yes">', filled)  # not ticked, as it was planned
    shown = page.post("/maintenance", data=who | one | window | {"do": "preview"}).text
    assert "Change the window" in shown
    assert '<li><time datetime="2031-01-05T10' in shown
    later = window | {"end": "2031-01-01T13:00", "rrule": "", "repeat": ""}
    changed = page.post("/maintenance", data=who | one | later | {"do": "change"})
    assert messages(changed) == "done The window is changed, as ANNA"
    assert "2031-01-01 13:00:00 UTC" in changed.text
    stale = page.post("/maintenance", data=who | one | later | {"do": "change"})
    refused = "failed somebody was faster: the window has version 2 now, changed by ANNA"
    assert messages(stale) == refused
    assert "2031-01-01T13:00" in stale.text  # what was typed is still there
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
        window = {"start": "2020-01-01T10:00", "end": "2020-12-01T12:00", "rrule": rule,
                  "reason": reason, "alarms": "yes", "do": "add"}  # fmt: skip
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
    with httpx.Client(base_url=page.base_url, trust_env=False) as other:
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
    [one] = make(stored)
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


# -- with access keys ---------------------------------------------------------------------------


def entry(name: str, role: str, key: str) -> str:
    return f"{name}:{role}:{hashlib.sha256(key.encode()).hexdigest()}"


KEYS = [entry("ANNA", "operate", "anna-key"), entry("RITA", "read", "rita-key")]


@pytest.fixture(scope="module")
def closed_url(postgres_server: str, migrated_template: str) -> str:
    run_admin(postgres_server, f"CREATE DATABASE page_closed TEMPLATE {migrated_template}")
    return postgres_server_url(postgres_server, "page_closed")


def postgres_server_url(server: str, name: str) -> str:
    url = make_url(server).set(drivername="postgresql+psycopg2", database=name)
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def closed(closed_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with keys, and no model."""
    folder: Path = tmp_path_factory.mktemp("closed")
    service = Service(folder, closed_url, API_KEYS=",".join(KEYS))
    service.start(ready=False)
    service.wait_login()
    yield service
    service.stop()


def log_in(page: httpx.Client, key: str) -> httpx.Response:
    form = token(page.get("/login").text)
    return page.post("/login", data={"key": key, "form_token": form})


def test_without_a_key_nothing_is_shown(closed: Service) -> None:
    with visit(closed) as page:
        for path in ("/", "/?state=all", f"/incidents/{UUID(int=1)}"):
            shown = page.get(path)
            assert shown.url.path == "/login"
            assert "Access key" in shown.text
            assert "Working" not in shown.text
        assert "Log in to see" in page.get("/working").text
        wrong = log_in(page, "guess")
        assert wrong.status_code == 401
        assert "not an access key" in wrong.text


def test_a_key_logs_in_under_its_name_and_role(closed: Service, closed_url: str) -> None:
    engine = make_engine(closed_url)
    [one] = make(engine)
    with visit(closed) as rita, visit(closed) as anna:
        assert "RITA" in log_in(rita, "rita-key").text
        assert ">Acknowledge<" not in rita.get(f"/incidents/{one}").text
        fields = {"verb": "acknowledge", "version": "1"}
        form = {"form_token": token(rita.get("/").text)}
        refused = rita.post(f"/incidents/{one}", data=fields | form)
        assert refused.status_code == 403
        assert "role read, but this needs operate" in refused.text
        log_in(anna, "anna-key")
        form = {"form_token": token(anna.get(f"/incidents/{one}").text)}
        assert "as ANNA" in messages(anna.post(f"/incidents/{one}", data=fields | form))
        form = {"form_token": token(anna.get("/").text)}
        assert anna.post("/logout", data=form).url.path == "/login"
        assert anna.get("/").url.path == "/login"
    with transaction(engine) as connection:
        query = text("SELECT who FROM incident_log WHERE what = 'acknowledged'")
        assert list(connection.execute(query).scalars()) == ["ANNA"]
    engine.dispose()


def test_a_session_ends_with_its_key(make_service: MakeService, database_url: str) -> None:
    service = make_service(
        database_url, bundle=False, API_KEYS=",".join(KEYS), TRUSTED_PROXIES="127.0.0.1"
    )
    with visit(service) as page:
        # behind a proxy that ends TLS, no browser sends the cookie in the clear
        service.wait_login()
        over_tls = page.get("/login", headers={"x-forwarded-proto": "https"})
        assert "; secure" in over_tls.headers["set-cookie"].lower()
        page.cookies.clear()
        assert "; secure" not in page.get("/login").headers["set-cookie"].lower()
        log_in(page, "anna-key")
        assert page.get("/").url.path == "/"
        cookie = dict(page.cookies)
    service.stop()
    other = Service(service.var_dir, database_url, API_KEYS=KEYS[1])
    other.start(ready=False)
    try:
        with visit(other) as page:
            other.wait_login()
            page.cookies.update(cookie)
            assert page.get("/").url.path == "/login"
            page.cookies.clear()
            assert "RITA" in log_in(page, "rita-key").text  # the database still signs
    finally:
        other.stop()


def cleared(database_url: str) -> None:
    """Make an incident that is over, and that nobody looked at."""
    engine = make_engine(database_url)
    [one] = make(engine)
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE incidents SET cleared_at = last_activity_at WHERE id = :id"), {"id": one}
        )
    engine.dispose()


def test_the_page_is_up_while_the_database_is_down(
    make_service: MakeService, postgres_server: str, database_url: str
) -> None:
    service = make_service(database_url)
    name = make_url(database_url).database
    with visit(service) as page:
        service.until(lambda: "No reading has arrived yet" in page.get("/").text)
        assert "See what cleared" not in page.get("/").text
        cleared(database_url)
        assert "See what cleared before anybody looked: 1" in page.get("/").text
        run_admin(
            postgres_server,
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        service.until(lambda: page.get("/").status_code == 503)
        shown = page.get("/").text
        assert "The database is down" in shown
        assert re.search(r"</strong>, since <time datetime=\"20", shown)
        assert "The list cannot be read now" in shown
        assert page.get(f"/incidents/{UUID(int=1)}").status_code == 503
        assert "The database is down" in page.get("/working").text
        assert page.get("/kpis").status_code == 503
        misread = page.get("/kpis?since=yesterday")  # no database is needed to say so
        assert misread.status_code == 422
        assert "The figures cannot be shown: since: " in misread.text
        run_admin(postgres_server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        service.until(lambda: page.get("/").status_code == 200)
        assert "The database is down" not in page.get("/").text


def test_the_page_is_up_while_mlflow_is_down(make_service: MakeService, database_url: str) -> None:
    first = make_service(database_url)
    first.stop()
    settings = {
        "MLFLOW_ENABLED": "true",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "CHAMPION_POLL_S": "1",
    }
    service = Service(first.var_dir, database_url, **settings)
    service.start()
    try:
        with visit(service) as page:
            notice = "The model registry does not work: scoring continues"
            service.until(lambda: notice in page.get("/").text, 60)
            assert re.search(notice + r".*</strong>, since <time datetime=\"20", page.get("/").text)
            assert page.get("/").status_code == 200
            shown = page.get("/models")
            assert shown.status_code == 200
            assert "The registered versions are not known" in shown.text
            assert "Bundle <strong>1</strong>" in shown.text
    finally:
        service.stop()
