"""What people tell the page about their plant: windows, off conditions, fault codes, assets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.sync_api import Browser, expect
from sqlalchemy import text

from db.session import make_engine, transaction
from tests.fixtures.browser import give_name, visit
from tests.fixtures.incidents import make_incidents
from tests.fixtures.shown_plant import HOSTILE, ShownPlant


def test_a_window_is_planned_changed_and_ended(browser: Browser, open_plant: ShownPlant) -> None:
    now = datetime.now(UTC)
    with (
        visit(browser, open_plant.url, timezone_id="Etc/UTC") as page,
        visit(browser, open_plant.url) as second,
    ):
        give_name(page)
        page.goto("/maintenance")
        page.get_by_label("Assets").fill("PUMP_*")
        page.get_by_label("From").fill(f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}")
        page.get_by_label("to (").fill(f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}")
        page.get_by_label("because").fill(HOSTILE)
        page.get_by_role("button", name="Show the next occurrences").click()
        expect(page.get_by_role("status").last).to_contain_text("It would be muted")
        page.get_by_role("button", name="Plan it").click()
        expect(page.locator(".message.done")).to_have_text("The window is planned, as ANNA")
        row = page.get_by_role("row", name="PUMP_*")
        expect(row).to_contain_text(HOSTILE)
        expect(row).to_contain_text("muted")
        give_name(second, "BEN")
        second.goto("/maintenance")  # as it was before ANNA changes it
        row.get_by_role("button", name="Change").click()
        expect(page.get_by_role("heading", name="Change the window")).to_be_visible()
        expect(page.get_by_label("Assets")).to_have_value("PUMP_*")
        expect(page.get_by_label("because")).to_have_value(HOSTILE)
        page.get_by_label("because").fill("new bearings")
        page.get_by_role("button", name="Change it").click()
        expect(page.locator(".message.done")).to_have_text("The window is changed, as ANNA")
        expect(row).to_contain_text("new bearings")
        second.get_by_role("row", name="PUMP_*").get_by_role("button", name="Take away").click()
        expect(second.locator(".message.failed")).to_have_text(
            "somebody was faster: the window has version 2 now, changed by ANNA"
        )
        row.get_by_role("button", name="End now").click()
        expect(page.locator(".message.done")).to_contain_text("The window is ended")
        expect(row).to_contain_text("over")
        listed = open_plant.api.get("/maintenance-windows").json()["maintenance_windows"]
        [one] = [one for one in listed if one["asset_id"] == "PUMP_*"]
        assert (one["reason"], one["changed_by"], one["version"]) == ("new bearings", "ANNA", 3)
        begins, ends = map(datetime.fromisoformat, (one["start"], one["end"]))
        assert begins == now.replace(microsecond=0) - timedelta(hours=1)  # as it was typed
        assert now < ends < now + timedelta(minutes=10)
        row.get_by_role("button", name="Take away").click()
        expect(row).to_have_count(0)


def test_a_start_in_the_hour_that_comes_twice_is_kept_by_a_change_of_something_else(
    browser: Browser, open_plant: ShownPlant
) -> None:
    window = {
        "asset_id": "TWICE_*", "start": "2026-10-25T01:20:00Z", "end": "2026-10-25T03:00:00Z",
        "rrule": "FREQ=WEEKLY", "time_zone": "Europe/Berlin", "reason": "oil", "who": "ANNA",
    }  # fmt: skip
    made = open_plant.api.post("/maintenance-windows", json=window).json()
    with visit(browser, open_plant.url, timezone_id="Europe/Berlin") as page:
        give_name(page)
        page.goto("/maintenance")
        page.get_by_role("row", name="TWICE_*").get_by_role("button", name="Change").click()
        expect(page.get_by_label("because")).to_have_value("oil")  # the form of the change is there
        page.get_by_label("because").fill("new oil")
        page.get_by_role("button", name="Change it").click()
        expect(page.locator(".message.done")).to_have_text("The window is changed, as ANNA")
    listed = open_plant.api.get("/maintenance-windows").json()["maintenance_windows"]
    [one] = [one for one in listed if one["id"] == made["id"]]
    assert (one["reason"], one["start"], one["end"]) == ("new oil", made["start"], made["end"])
    open_plant.api.delete(f"/maintenance-windows/{made['id']}")


def test_an_off_condition_is_tried_added_changed_and_removed(
    browser: Browser, open_plant: ShownPlant
) -> None:
    with visit(browser, open_plant.url) as page:
        give_name(page)
        page.goto("/plant")
        section = page.get_by_role("region", name="When a machine counts as off")
        for label, value in (
            ("Machines of group", "default"), ("are off while", HOSTILE), ("than the value", "0.5"),
            ("for at least (s)", "60"), ("running up", "120"),
        ):  # fmt: skip
            section.get_by_label(label).fill(value)
        section.get_by_role("button", name="Say what it means").click()
        sentence = f"machines of group default, while {HOSTILE} < 0.5 for 60 s, and 2 min of run-up"
        expect(section.get_by_role("status")).to_contain_text(f"It means: {sentence} after it.")
        section.get_by_role("button", name="Add it").click()
        expect(page.locator(".message.done")).to_contain_text(f"From now on: {sentence}")
        row = section.get_by_role("row").filter(has_text=HOSTILE)
        row.get_by_role("button", name="Change").click()
        expect(section.get_by_label("than the value")).to_have_value("0.5")
        section.get_by_label("than the value").fill("no number")
        section.get_by_role("button", name="Change it").click()
        expect(page.locator(".message.failed")).to_contain_text("value: ")
        section.get_by_label("than the value").fill("0.25")
        section.get_by_role("button", name="Change it").click()
        expect(row).to_contain_text("< 0.25")
        [kept] = open_plant.api.get("/off-conditions").json()["off_conditions"]
        assert kept == {"group": "default", "feature": HOSTILE, "operator": "<", "value": 0.25,
                        "hold_s": 60, "run_up_s": 120}  # fmt: skip
        row.get_by_role("button", name="Remove").click()
        expect(section.get_by_text("No condition is set")).to_be_visible()


def test_the_plants_fault_codes_are_what_closing_offers(
    browser: Browser, open_plant: ShownPlant
) -> None:
    engine = make_engine(open_plant.scene.environment["DATABASE_URL"])
    [one] = make_incidents(engine)
    engine.dispose()
    with visit(browser, open_plant.url) as page:
        give_name(page)
        page.goto("/plant")
        section = page.get_by_role("region", name="Fault codes")
        expect(section).to_contain_text("After the first change it is the plant's own")
        section.get_by_label("Code", exact=True).fill("OIL_SPILL")
        section.get_by_label("Name", exact=True).fill(HOSTILE)
        section.get_by_role("button", name="Add it").click()
        expect(section).to_contain_text("This is the plant's own list")
        section.get_by_role("row", name="OIL_SPILL").get_by_role("button", name="Change").click()
        expect(section.get_by_label("Code", exact=True)).to_have_value("OIL_SPILL")
        section.get_by_label("Recommended action").fill("close the valve")
        section.get_by_role("button", name="Change it").click()
        expect(page.locator(".message.done")).to_contain_text("fault code OIL_SPILL")
        section.get_by_role("row", name="BEARING").get_by_role("button", name="Remove").click()
        expect(section.get_by_role("row", name="BEARING")).to_have_count(0)
        page.goto(f"/incidents/{one}")
        offered = page.locator("[name=fault_code]")
        assert "BEARING" not in offered.inner_text()
        offered.select_option("OIL_SPILL")
        page.locator("[value=close]").click()
        expect(page.get_by_text("the plant recommends")).to_contain_text("close the valve")
        page.goto("/plant")
        page.get_by_text("Replace the whole list").click()
        page.get_by_label("One code per line").fill("A1\tCavitation\tOpen the inlet\nB2;Belt slips")
        page.get_by_role("button", name="Replace all by these").click()
        expect(page.locator(".message.done")).to_contain_text("these 2 fault codes")
        page.get_by_text("Replace the whole list").click()
        page.get_by_role("button", name="Take the list that came").click()
        expect(section.get_by_role("row", name="BEARING")).to_be_visible()


def test_an_asset_is_made_critical_and_restarts_after_an_overhaul(
    browser: Browser, open_plant: ShownPlant
) -> None:
    engine = make_engine(open_plant.scene.environment["DATABASE_URL"])
    with visit(browser, open_plant.url) as page:
        give_name(page)
        page.goto("/assets/PUMP_042")
        form = page.locator("form", has=page.locator("[value=criticality]"))
        form.get_by_label("Make it").select_option("critical")
        form.get_by_label("because").fill("no spare pump")
        form.get_by_role("button").click()
        expect(page.get_by_role("region", name="How much it matters")).to_contain_text(
            "critical, set by ANNA"
        )
        form = page.locator("form", has=page.locator("[value=reset]"))
        form.get_by_label("because").fill("new bearings")
        form.get_by_role("button").click()
        expect(page.locator(".message.done")).to_contain_text("restart with their next reading")
    known = open_plant.api.get("/assets/PUMP_042").json()
    assert (known["criticality"], known["reason"]) == ("critical", "no spare pump")
    with transaction(engine) as connection:
        query = "SELECT requested_by, reason FROM stream_resets WHERE asset_id = 'PUMP_042'"
        assert list(connection.execute(text(query))) == [("ANNA", "new bearings")]
    engine.dispose()
