"""The page's addresses and words: assets with odd names, pages that are none, what actions say."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, text

from db.incident_tables import STATES
from db.session import make_engine, transaction
from tests.fixtures.incidents import make_incidents
from tests.fixtures.service import MakeService, Service
from tests.integration.serving.page_forms import messages, named, version, visit

STREAM = """
    INSERT INTO stream_states (topic_id, partition, asset_id, sensor_id, feature, state,
                               last_timestamp)
    VALUES (gen_random_uuid(), 0, :asset, :sensor, '', '{}', :at)
"""


@pytest.mark.parametrize("asset", [".", "..", "a/b", "/", "%2e%2e", "a?b#c", "\u202eb", "🦊 ⚙"])
def test_every_name_leads_to_its_asset(page: httpx.Client, stored: Engine, asset: str) -> None:
    [one] = make_incidents(stored, asset)
    shown = page.get(f"/incidents/{one}").text
    found = re.search(r'<h1><a href="([^"]*)"', shown)
    assert found is not None
    address = html.unescape(found[1])
    assert urljoin("http://host/incidents/1", address) == f"http://host{address}"  # as browsers go
    there = page.get(address)
    assert f"<h1><bdi>{html.escape(asset)}</bdi></h1>" in there.text
    assert 'aria-current="page">Fleet' in there.text
    form = {"form_token": named(page), "do": "criticality", "criticality": "high"}
    assert "Its criticality is high" in messages(page.post(address, data=form))
    assert "<strong>high</strong>, set by" in page.get(address).text
    span = re.search(r'href="([^"]*start_date=[^"]*)"', shown)
    assert span is not None
    assert f"<bdi>{html.escape(asset)}</bdi>" in page.get(html.unescape(span[1])).text


def test_an_address_that_is_none_is_a_page_for_people_and_json_for_programs(
    page: httpx.Client,
) -> None:
    browser = {"accept": "text/html,application/xhtml+xml"}
    shown = page.get("/incident/7", headers=browser)
    assert shown.status_code == 404
    assert "there is no such page" in shown.text
    assert 'aria-label="Screens"' in shown.text
    assert "no asset" not in page.get("/assets", headers=browser).text
    assert page.get("/assets", headers=browser).status_code == 422
    for path, headers in (("/incident/7", {}), ("/api/v1/nothing", browser)):
        refused = page.get(path, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


def test_the_stream_without_a_sensor_can_be_chosen(page: httpx.Client, stored: Engine) -> None:
    asset = f"TWO-{uuid4()}"
    with transaction(stored) as connection:
        for sensor, at in (("", "2026-01-01"), ("S1", "2026-01-02")):
            values = {"asset": asset, "sensor": sensor, "at": at}
            connection.execute(text(STREAM), values)
    assert "<bdi>S1</bdi>: last reading" in page.get(f"/assets/{asset}").text
    assert "<bdi>no sensor named</bdi>: last" in page.get(f"/assets/{asset}?sensor_id=").text
    with transaction(stored) as connection:
        connection.execute(text("DELETE FROM stream_states WHERE sensor_id = '' AND asset_id = :a"),
                           {"a": asset})  # fmt: skip
    assert "not named" not in page.get(f"/assets/{asset}").text


def test_a_stream_that_is_stored_long_after_its_time_says_so(
    page: httpx.Client, stored: Engine
) -> None:
    """So it is with a device whose clock fell back: its readings open no incident."""
    behind, current = f"BEHIND-{uuid4()}", f"CURRENT-{uuid4()}"
    now = datetime.now(UTC)
    with transaction(stored) as connection:
        for asset, at in ((behind, now - timedelta(days=3)), (current, now)):
            connection.execute(text(STREAM), {"asset": asset, "sensor": "S1", "at": at})
    shown = page.get(f"/assets/{behind}").text
    assert "stored 3 d after the time of the newest reading" in shown
    assert "<strong>open no incident</strong>: set the clock" in shown
    assert "after the time of" not in page.get(f"/assets/{current}").text


def test_actions_say_what_they_did_in_words(page: httpx.Client, stored: Engine) -> None:
    asset = f"SAID-{uuid4()}"
    [one] = make_incidents(stored, asset)
    form = {"form_token": named(page)}

    def act(**fields: str) -> str:
        data = {**form, "version": version(page, one), **fields}
        return messages(page.post(f"/incidents/{one}", data=data))

    assert act(verb="ticket", ticket="WO-1") == "done The ticket is kept, as ANNA"
    assert (
        "1 false alarm was reported in the last 30 days, so from now on an incident of"
        f" {asset} opens only for a peak 3.2 times as rare as without feedback (at most 100 times)"
    ) in act(verb="close", verdict="false_alarm")


def test_a_window_without_names_is_said_to_mute_the_whole_plant(page: httpx.Client) -> None:
    form = {
        "form_token": named(page), "do": "add", "filled": "yes", "training": "yes",
        "start": "2020-01-01T00:00:00Z", "end": "2020-01-01T01:00:00Z",
    }  # fmt: skip
    assert "planned for the whole plant, as ANNA" in messages(page.post("/maintenance", data=form))
    mars = page.post("/maintenance", data={**form, "time_zone": "Mars"})
    assert "Time zone: &#39;Mars&#39; is not" in messages(mars)


def test_every_state_is_explained_beside_the_list(page: httpx.Client) -> None:
    shown = page.get("/").text
    explained = shown[shown.index("What these states mean") :]
    assert explained.count("<dt>") == len(STATES)
    assert "no notifications until then" in explained


ESCALATED = """
    INSERT INTO incident_log (incident_id, version, who, what, occurred_at, before, after)
    VALUES (:one, 1, 'system', 'escalated', now(),
            '{"severity": "high", "acknowledged_at": null}',
            '{"severity": "critical", "acknowledged_at": null}')
"""
REFUSED = """
    INSERT INTO dead_letters (id, topic_id, partition, source_offset, asset_id, reason, message,
                              created_at)
    SELECT gen_random_uuid(), gen_random_uuid(), 0, n, 'PRESS<1>',
           CASE WHEN n < 3 THEN 'duplicate' ELSE 'r' END,
           'no <group> ' || n, now() + make_interval(secs => n)
    FROM generate_series(1, 4) AS n
"""


def test_the_log_names_only_what_rose(page: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    with transaction(stored) as connection:
        connection.execute(text(ESCALATED), {"one": one})
    log = page.get(f"/incidents/{one}").text.partition('id="log"')[2]
    assert "(<bdi>high</bdi> → <bdi>critical</bdi>)" in log


def test_the_line_says_what_could_not_be_scored(service: Service, stored: Engine) -> None:
    with visit(service) as page:
        service.until(lambda: "Model " in page.get("/working").text)
        assert "could not be scored" not in page.get("/working").text
        with transaction(stored) as connection:
            connection.execute(text(REFUSED))
        line = "2 records of the last hour could not be scored</strong>, the newest because: "
        why = "<bdi>PRESS&lt;1&gt;: no &lt;group&gt; 4</bdi>."
        service.until(lambda: f"{line}{why}" in page.get("/working").text)
        its_own = page.get("/assets/PRESS%3C1%3E").text
        assert "<strong>2 records of the last 24 h could not be scored</strong>" in its_own
        assert "because: <bdi>no &lt;group&gt; 4</bdi>" in its_own
        assert "could not be scored" not in page.get("/assets/OTHER").text.partition("<main")[2]
        with transaction(stored) as connection:
            connection.execute(text(REFUSED.replace("(1, 4)", "(5, 1001)")))
        service.until(lambda: "999 or more records of the last" in page.get("/working").text)
        with transaction(stored) as connection:
            connection.execute(text("DELETE FROM dead_letters WHERE reason IN ('r', 'duplicate')"))


def test_more_open_incidents_than_are_counted_are_said_so(
    make_service: MakeService, database_url: str
) -> None:
    engine = make_engine(database_url)
    make_incidents(engine, many=1001)
    engine.dispose()
    with visit(make_service(database_url)) as page:
        line = page.get("/working").text
        assert "1000 or more open and unacknowledged" in line
        assert ">0 acknowledged" in line


def test_a_sensor_with_blanks_at_its_ends_is_the_one_that_is_reset(
    page: httpx.Client, stored: Engine
) -> None:
    """Without its blanks the name is another sensor's; a blank alone would mean all of them."""
    asset = f"BLANKS-{uuid4()}"
    form = {"form_token": named(page), "do": "reset", "why": "new bearing"}
    for sensor in ("S1 ", " "):
        said = messages(page.post(f"/assets/{asset}", data={**form, "sensor_id": sensor}))
        assert said.startswith("done")
    with stored.connect() as connection:
        query = text("SELECT sensor_id FROM stream_resets WHERE asset_id = :asset ORDER BY id")
        assert connection.execute(query, {"asset": asset}).scalars().all() == ["S1 ", " "]


def test_changing_a_window_keeps_the_blanks_of_its_names(
    page: httpx.Client, stored: Engine
) -> None:
    asset = f"BLANKS-{uuid4()} "
    plan = {"asset_id": asset, "start": "2131-01-01T10:00Z", "end": "2131-01-01T12:00Z"}
    made = page.post("/api/v1/maintenance-windows", json=plan).json()
    form = {
        "form_token": named(page), "filled": "yes", "alarms": "yes", "id": made["id"],
        "version": "1", "asset_id": asset, "start": "2131-01-01T10:00", "end": "2131-01-01T14:00",
    }  # fmt: skip
    shown = page.post("/maintenance", data={**form, "do": "preview"}).text
    assert f'name="asset_id" value="{asset}"' in shown
    assert "The window is changed" in messages(
        page.post("/maintenance", data={**form, "do": "change"})
    )
    with stored.connect() as connection:
        query = text("SELECT asset_pattern FROM maintenance_windows WHERE id = :id")
        assert connection.execute(query, {"id": made["id"]}).scalar_one() == asset


def test_nobody_passes_for_the_service_itself(page: httpx.Client, stored: Engine) -> None:
    """The log tells people from the system, and what the system closed opens again by itself."""
    refused = page.post("/login", data={"who": "System", "form_token": named(page)})
    assert refused.status_code == 422
    assert "the name of the service itself" in refused.text
    [one] = make_incidents(stored, f"SELF-{uuid4()}")
    closed = page.post(f"/api/v1/incidents/{one}/close", json={"who": "system"})
    assert (closed.status_code, closed.json()["error"]["field"]) == (422, "who")
