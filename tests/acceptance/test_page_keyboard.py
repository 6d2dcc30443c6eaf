"""The operator's page by the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fixtures.browser import stand_still, visit
from tests.fixtures.screens import SCREENS, address, named
from tests.fixtures.shown_plant import ShownPlant


def test_the_keyboard_alone_is_enough(browser: Browser, busy_plant: ShownPlant) -> None:
    with visit(browser, busy_plant.url) as page:
        named(page)
        page.goto("/")
        first = page.locator("tbody tr").first
        asset = first.get_by_role("link").inner_text()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.name || ''"))
            if reached[-1] == "incident":
                break
        page.keyboard.press("Space")
        expect(page.locator("[data-picked]")).to_have_text("(1)")
        visible = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert visible == "solid"
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.value") == "acknowledge":
                break
        page.keyboard.press("Enter")
        expect(page.locator(".message.done")).to_contain_text("acknowledged, as ANNA")
        page.goto("/?state=open-acknowledged")
        expect(page.get_by_role("link", name=asset).first).to_be_visible()


def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until the element of the selector ``wanted`` is in focus."""
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("(it) => document.activeElement.matches(it)", wanted):
            return
    raise AssertionError(f"Tab never comes to {wanted}")


def type_time(page: Page, date: str, clock: str) -> None:
    """Type a time of the morning; a browser whose clock has 24 hours does without the "AM"."""
    page.keyboard.type(date)
    page.keyboard.press("ArrowRight")
    page.keyboard.type(f"{clock}00AM")


@pytest.mark.parametrize("screen", SCREENS)
def test_tab_comes_to_everything_that_can_be_used(
    browser: Browser, busy_plant: ShownPlant, screen: str
) -> None:
    with visit(browser, busy_plant.url) as page:
        stand_still(page)
        named(page)
        page.goto(address(busy_plant, screen))
        for summary in page.locator("summary").all():
            summary.click()
        page.evaluate("""() => {
            const usable = [...document.querySelectorAll(
                'a[href], button, input, select, textarea, summary, [tabindex="0"]'
            )].filter((it) => it.checkVisibility() && !it.disabled && it.type !== 'hidden');
            usable.forEach((it, i) => { it.dataset.stop = i; });
        }""")
        stops = page.locator("[data-stop]").count()
        reached: set[str] = set()
        for _ in range(4 * stops + 100):  # a date and a time take several presses each
            page.keyboard.press("Tab")
            at, outline = page.evaluate("""() => [
                document.activeElement.dataset.stop ?? '',
                getComputedStyle(document.activeElement).outlineStyle]""")
            if at:
                assert outline != "none", page.evaluate("document.activeElement.outerHTML")
                reached.add(at)
            if len(reached) == stops:
                break
        missed = sorted({str(i) for i in range(stops)} - reached, key=int)
        assert not missed, page.locator(f"[data-stop='{missed[0]}']").evaluate("it => it.outerHTML")


def test_an_incident_is_closed_by_the_keyboard_alone(
    browser: Browser, busy_plant: ShownPlant
) -> None:
    [one, *_] = busy_plant.incidents(state="open-unacknowledged,open-acknowledged")
    with visit(browser, busy_plant.url) as page:
        named(page)
        page.goto(f"/incidents/{one['id']}")
        tab_to(page, "[name=verdict]")
        page.keyboard.type("conf")
        expect(page.locator("[name=verdict]")).to_have_value("confirmed")
        tab_to(page, "[name=fault_code]")
        page.keyboard.press("ArrowDown")
        tab_to(page, "[name=why]")
        page.keyboard.type("seal worn")
        tab_to(page, "button[value=close]")
        page.keyboard.press("Space")
        expect(page.locator("#facts")).to_contain_text("Closed")
        expect(page.locator("#log")).to_contain_text("closed by ANNA: seal worn")
        tab_to(page, "button[value=reopen]")
        page.keyboard.press("Enter")
        expect(page.locator("#log")).to_contain_text("reopened by ANNA")


def test_a_window_is_planned_by_the_keyboard_alone(
    browser: Browser, busy_plant: ShownPlant
) -> None:
    with visit(browser, busy_plant.url, timezone_id="Etc/UTC") as page:
        named(page)
        page.goto("/maintenance")
        tab_to(page, "[name=asset_id]")
        page.keyboard.type("KEYBOARD_*")
        tab_to(page, "input[type=datetime-local]")
        type_time(page, "02022130", "0815")
        tab_to(page, "label ~ label input[type=datetime-local]")
        type_time(page, "02022130", "0945")
        tab_to(page, "[name=repeat]")
        page.keyboard.press("ArrowDown")
        tab_to(page, "button[value=add]")
        page.keyboard.press("Enter")
        expect(page.locator(".message.done")).to_have_text("The window is planned, as ANNA")
        row = page.get_by_role("row", name="KEYBOARD_*")
        expect(row).to_contain_text("not now")
        number = row.locator("[name=id]").get_attribute("value")
        tab_to(page, f"[name=id][value='{number}'] ~ button[value=delete]")
        page.keyboard.press("Enter")
        expect(row).to_have_count(0)


def test_enter_in_a_field_of_the_list_presses_nothing(
    browser: Browser, busy_plant: ShownPlant
) -> None:
    with visit(browser, busy_plant.url) as page:
        named(page)
        page.goto("/?state=all")
        before = busy_plant.incidents()
        page.get_by_label("because").fill("a reason")
        page.get_by_label("because").press("Enter")
        page.locator("[name=incident]").last.press("Enter")  # the first button is the first row's
        page.wait_for_timeout(300)
        assert [one["version"] for one in busy_plant.incidents()] == [
            one["version"] for one in before
        ]
