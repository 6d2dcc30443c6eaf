"""The operator's page without a browser: the frame, the list of incidents, and one of them."""

from __future__ import annotations

import csv
import html
import re
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, text

from db.incident_tables import STATES
from db.queries.fleet import MAX_ASSETS
from db.session import transaction
from tests.fixtures.incidents import make_incidents
from tests.fixtures.service import Service
from tests.integration.serving.page_forms import (
    HOSTILE,
    hidden,
    messages,
    named,
    token,
    version,
    visit,
)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def test_every_screen_keeps_other_origins_out(page: httpx.Client) -> None:
    answer = page.get("/")
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    stranger = {"x-forwarded-proto": "https"}  # of nobody who is trusted
    other = httpx.get(page.base_url, headers=stranger, trust_env=False, timeout=60)
    assert "; secure" not in other.headers["set-cookie"]
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    refused = page.post("/", data={"verb": "acknowledge"}, headers=foreign)
    assert refused.status_code == 403
    assert "Acknowledge" not in refused.text


def test_what_each_night_repeats_in_the_log_is_folded(page: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    with transaction(stored) as connection:
        for what in ("cleared", "resumed") * 30:
            connection.execute(text("""
                INSERT INTO incident_log
                    (incident_id, version, who, what, occurred_at, before, after)
                VALUES (CAST(:one AS uuid), 1, 'system', :what, now(), '{}', '{}')
            """), {"one": one, "what": what})  # fmt: skip
    log = page.get(f"/incidents/{one}").text.partition('id="log"')[2]
    assert "The same 29 more times, until <time" in log
    before, _, behind = log.partition("<details>")
    assert before.count("<strong>resumed</strong>") == 1
    assert behind.partition("</details>")[0].count("<strong>resumed</strong>") == 29


def test_a_fault_that_comes_back_is_said_so_in_the_log(page: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    with transaction(stored) as connection:
        connection.execute(text("""
            INSERT INTO incident_log (incident_id, version, who, what, occurred_at, before, after)
            VALUES (CAST(:one AS uuid), 1, 'system', 'joined', now(), '{}', '{}')
        """), {"one": one})  # fmt: skip
    log = page.get(f"/incidents/{one}").text.partition('id="log"')[2]
    assert "<strong>alarmed again</strong>" in log


def test_files_are_kept_by_browsers_for_a_year(page: httpx.Client) -> None:
    address = re.search(r'src="(/static/\w+/page\.js)"', page.get("/").text)
    assert address is not None
    answer = page.get(address[1])
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert page.get("/static/x/../../../config.py").status_code == 404
    assert page.get("/static/x/vendor/manifest.json").status_code == 404


@pytest.mark.parametrize("accepted", ["gzip, deflate, br", "identity"])
def test_screens_are_compressed_for_browsers_that_read_it(
    page: httpx.Client, accepted: str
) -> None:
    answer = page.get("/fleet", headers={"accept-encoding": accepted})
    packed = "gzip" in accepted
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.text.rstrip().endswith("</html>")
    assert (int(answer.headers["content-length"]) < len(answer.content)) == packed


def test_states_have_their_tabs_and_counts(page: httpx.Client, stored: Engine) -> None:
    asset = f"TABS {uuid4()}"
    make_incidents(stored, asset)
    text = page.get("/", params={"asset_id": asset}).text
    assert [name for name in STATES if f"state={name}" in text] == list(STATES)
    assert re.search(r"Open, unacknowledged <span class=\"count\">1</span>", text)
    assert asset in text
    closed = page.get("/", params={"asset_id": asset, "state": "closed"}).text
    assert "No incident of this state fits these filters" in closed
    assert "names are compared as a whole" not in closed
    pattern = page.get("/", params={"asset_id": "TABS *"}).text
    assert "names are compared as a whole" in pattern


def test_a_span_that_ends_before_it_begins_is_named_as_on_the_form(page: httpx.Client) -> None:
    asked = page.get("/?start_date=2026-01-02&end_date=2026-01-01")
    assert "From: 2026-01-02T00:00:00+00:00 is after To, 2026-01-01T00:00:00+00:00" in asked.text


def test_the_filter_comes_before_the_list(page: httpx.Client, stored: Engine) -> None:
    """Below a hundred incidents it is three hundred stops of the Tab key away."""
    make_incidents(stored)
    screen = page.get("/?state=all").text
    assert screen.index("<summary>Filter") < screen.index('<tr id="i-')


def test_a_wrong_filter_is_named_and_the_frame_stays(page: httpx.Client) -> None:
    answer = page.get("/", params={"start_date": "tomorrow"})
    assert answer.status_code == 422
    assert "tomorrow" in answer.text
    assert 'aria-label="Screens"' in answer.text
    assert page.get("/", params={"asset_id": ""}).status_code == 200


def test_hostile_text_stays_text(page: httpx.Client, stored: Engine) -> None:
    asset = f"{HOSTILE}{uuid4()}"
    [one] = make_incidents(stored, asset)
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
    [one] = make_incidents(stored)
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
    make_incidents(stored, asset)
    assert page.get(f"/assets/{quote(asset, safe='')}?{span}").status_code == 200


def test_one_click_acknowledges_in_the_name_given_once(page: httpx.Client, stored: Engine) -> None:
    asset = f"CLICK {uuid4()}"
    [one] = make_incidents(stored, asset)
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


def test_who_works_on_a_closed_incident_stands_apart_from_who_closed_it(
    page: httpx.Client, stored: Engine
) -> None:
    asset = f"WHO {uuid4()}"
    [one] = make_incidents(stored, asset)
    form = named(page)
    for verb, fields in (("assign", {"assignee": "BEN"}), ("close", {})):
        version = str(1 + (verb == "close"))
        data = {"verb": verb, "version": version, "form_token": form, **fields}
        page.post(f"/incidents/{one}", data=data)
    shown = page.get("/", params={"asset_id": asset, "state": "closed"}).text
    assert '<bdi>BEN</bdi><br><span class="quiet">closed by <bdi>ANNA</bdi>' in shown
    # acknowledging and shelving do nothing to a closed incident
    assert "With the selected ones" not in shown
    assert "With the selected ones" in page.get("/?state=all").text


def test_what_suppresses_an_incident_is_said_in_words(page: httpx.Client, stored: Engine) -> None:
    window = f"maintenance {uuid4()}"
    for by, words in ((window, "a maintenance window"), ("off", "the machine is off")):
        [one] = make_incidents(stored, asset := f"MUTE {uuid4()}")
        with transaction(stored) as connection:
            connection.execute(text("""
                UPDATE incidents SET suppressed_by = :by WHERE id = CAST(:one AS uuid)
            """), {"by": by, "one": one})  # fmt: skip
        listed = page.get("/", params={"asset_id": asset, "state": "suppressed"}).text
        for shown in (listed, page.get(f"/incidents/{one}").text, page.get("/maintenance").text):
            assert words in shown
            assert by not in shown or by == "off"


def test_in_bulk_each_failure_is_told(page: httpx.Client, stored: Engine) -> None:
    assets = [f"BULK {uuid4()}" for _ in range(3)]
    ids = [make_incidents(stored, asset)[0] for asset in assets]
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
    [one] = make_incidents(stored)
    with visit(service) as anna, visit(service) as ben:
        forms = named(anna), named(ben, "BEN")
        seen = version(anna, one)
        for client, form in zip((anna, ben), forms, strict=True):
            fields = {"verb": "acknowledge", "version": seen, "form_token": form}
            answer = messages(client.post(f"/incidents/{one}", data=fields))
    assert "somebody was faster: acknowledged by ANNA at 2" in answer


def test_who_closes_second_is_not_told_what_the_firsts_verdict_does(
    service: Service, stored: Engine
) -> None:
    """It would look as if both had been done, and the page would drop what was typed."""
    [one] = make_incidents(stored)
    with visit(service) as anna, visit(service) as ben:
        shown = []
        for client, name, verdict in ((anna, "ANNA", "confirmed"), (ben, "BEN", "false_alarm")):
            data = {"verb": "close", "version": "1", "form_token": named(client, name)}
            answer = client.post(f"/incidents/{one}", data={**data, "verdict": verdict})
            shown.append(messages(answer))
    assert "next training" in shown[0]
    assert shown[1].startswith("failed")
    assert "done" not in shown[1]
    assert "training" not in shown[1]


def test_the_same_form_sent_twice_takes_effect_once(page: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    named(page)
    text = page.get(f"/incidents/{one}").text
    once = re.search(r'name="once" value="(\w+)"', text)
    assert once is not None
    fields = {"verb": "acknowledge", "version": "1", "form_token": token(text), "once": once[1]}
    assert "acknowledged" in messages(page.post(f"/incidents/{one}", data=fields))
    assert messages(page.post(f"/incidents/{one}", data=fields)).startswith("done Nothing")


def test_a_window_and_a_reset_sent_twice_take_effect_once(
    page: httpx.Client, stored: Engine
) -> None:
    form, asset = {"form_token": named(page)}, f"TWICE {uuid4()}"
    plan = {"do": "add", "asset_id": asset, "start": "2131-01-01T10:00", "end": "2131-01-01T12:00",
            "alarms": "yes"}  # fmt: skip
    reset = {"do": "reset", "why": "new bearing"}
    for path, fields in (("/maintenance", plan), (f"/assets/{asset}", reset)):
        once = hidden(page, path, "<form", "once")
        said = [messages(page.post(path, data=form | fields | {"once": once})) for _ in range(2)]
        assert said[0] == said[1]
        assert said[0].startswith("done")
    with stored.connect() as connection:
        counted = connection.execute(
            text(
                "SELECT (SELECT count(*) FROM maintenance_windows WHERE asset_pattern = :asset),"
                " (SELECT count(*) FROM stream_resets WHERE asset_id = :asset)"
            ),
            {"asset": asset},
        ).one()
    assert tuple(counted) == (1, 1)


def test_a_list_is_a_spreadsheet_too(page: httpx.Client, stored: Engine) -> None:
    asset = f"=CSV {uuid4()}"
    make_incidents(stored, asset)
    answer = page.get("/incidents.csv", params={"asset_id": asset, "state": "all"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.count(f"'{asset}") == 1
    assert len(answer.text.splitlines()) == 2


def test_a_spreadsheet_with_some_of_the_incidents_says_so(
    page: httpx.Client, stored: Engine
) -> None:
    make_incidents(stored, None, 3)
    answer = page.get("/incidents.csv", params={"state": "all", "limit": "2"})
    *_, last = csv.reader(answer.text.splitlines())
    assert last[0].startswith("These are the 2 with the newest activity: more fit the filters.")


def test_an_incident_that_lasts_says_so(page: httpx.Client, stored: Engine) -> None:
    asset = f"LASTS {uuid4()}"
    [one] = make_incidents(stored, asset)
    assert "Lasts" not in page.get(f"/incidents/{one}").text
    with transaction(stored) as connection:
        change = "UPDATE incidents SET persistent = true, cleared_at = NULL WHERE id = :id"
        connection.execute(text(change), {"id": one})
    assert "closing this incident makes it the normal one" in page.get(f"/incidents/{one}").text
    assert ">lasts<" in page.get("/", params={"asset_id": asset, "state": "all"}).text
    header, first = page.get(
        "/incidents.csv", params={"asset_id": asset, "state": "all"}
    ).text.splitlines()
    assert (header.split(",")[-1], first.split(",")[-1]) == ("persistent", "True")


def test_an_asset_that_only_rest_knows_is_drawn(page: httpx.Client, stored: Engine) -> None:
    asset = f"REST/{uuid4()}"
    make_incidents(stored, asset)
    shown = page.get("/assets/" + asset.replace("/", "%2F")).text
    assert "data-chart=" in shown
    assert "no sensor named" in shown


def test_a_fleet_of_which_some_assets_are_not_shown_says_so(
    page: httpx.Client, stored: Engine
) -> None:
    add = """
        INSERT INTO stream_states (topic_id, partition, asset_id, state)
        SELECT gen_random_uuid(), 0, 'MANY ' || a, '{}' FROM generate_series(1, :many) AS a
    """
    with transaction(stored) as connection:
        connection.execute(text(add), {"many": MAX_ASSETS})
    try:
        shown = page.get("/fleet").text
        assert f"There are more than {MAX_ASSETS} assets" in shown
        assert "These are 1000 of 20" in shown
        assert len(shown) < 1_500_000
    finally:
        with transaction(stored) as connection:
            connection.execute(text("DELETE FROM stream_states WHERE asset_id LIKE 'MANY %'"))
    assert "There are more than" not in page.get("/fleet").text


def test_a_form_of_another_visit_changes_nothing(page: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    form = named(page)
    for given in ("", "0" * 64, form[:-1]):
        fields = {"verb": "acknowledge", "version": "1", "form_token": given}
        refused = page.post(f"/incidents/{one}", data=fields)
        assert refused.status_code == 403
        assert "another session" in refused.text
    with httpx.Client(base_url=page.base_url, trust_env=False, timeout=60) as without_cookie:
        fields = {"verb": "acknowledge", "version": "1", "form_token": form}
        assert without_cookie.post(f"/incidents/{one}", data=fields).status_code == 403
    assert version(page, one) == "1"


def test_what_an_incident_does_not_know_is_said(page: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    text = page.get(f"/incidents/{one}").text
    assert "score 0.6, no feature stands out" in text
    assert "As a table" in text
    missing = page.get(f"/incidents/{UUID(int=9)}")
    assert missing.status_code == 404
    assert "no incident" in missing.text
    assert page.get("/incidents/none").status_code == 404


def test_the_line_says_what_is_there(page: httpx.Client, stored: Engine) -> None:
    make_incidents(stored)
    text = page.get("/working").text
    assert re.search(r"\d+ open and unacknowledged", text)
    assert "Model " in text
