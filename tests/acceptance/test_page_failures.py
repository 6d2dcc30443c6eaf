"""What a person sees, and keeps, when an action cannot be done."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from db.session import make_engine
from tests.fixtures.browser import visit
from tests.fixtures.incidents import make_incidents
from tests.fixtures.screens import named
from tests.fixtures.shown_plant import ShownPlant

pytestmark = pytest.mark.timeout(300)


def an_incident(plant: ShownPlant, asset: str | None = None) -> str:
    engine = make_engine(plant.scene.environment["DATABASE_URL"])
    [one] = make_incidents(engine, asset)
    engine.dispose()
    return one


def without_refresh(page: Page, address: str) -> None:
    """Open an incident and leave it as it was then."""
    page.goto(address)
    page.evaluate("document.querySelector('[hx-select-oob]').remove()")


def test_a_service_that_does_not_answer_is_said_and_nothing_typed_is_lost(
    browser: Browser, open_plant: ShownPlant
) -> None:
    one = an_incident(open_plant)
    with visit(browser, open_plant.url) as page:
        page.clock.install()
        named(page)
        page.goto(f"/incidents/{one}")
        expect(page.locator("#health")).not_to_contain_text("has not answered")
        page.get_by_label("Comment").fill("belt is loose")
        page.context.set_offline(True)
        page.get_by_role("button", name="Note it").click()
        expect(page.locator(".message.failed")).to_contain_text("The service does not answer")
        page.clock.run_for(20_000)
        expect(page.locator("#health.wrong")).to_have_text(
            re.compile(r"The service has not answered since .*: what is shown here may be out of")
        )
        expect(page.get_by_label("Comment")).to_have_value("belt is loose")
        page.context.set_offline(False)
        page.clock.run_for(6_000)
        expect(page.locator("#health")).not_to_contain_text("has not answered")
        page.get_by_role("button", name="Note it").click()
        expect(page.locator(".message.done")).to_have_text("The incident noted, as ANNA")
        expect(page.locator("#log")).to_contain_text("belt is loose")
        expect(page.get_by_label("Comment")).to_have_value("")


def test_whoever_was_slower_keeps_what_was_typed(browser: Browser, open_plant: ShownPlant) -> None:
    one = an_incident(open_plant)
    with visit(browser, open_plant.url) as ben:
        named(ben)
        without_refresh(ben, f"/incidents/{one}")
        note = ben.get_by_role("textbox", name="note")
        note.fill("inner race")
        ben.get_by_label("Close: it was").select_option("confirmed")
        ben.get_by_label("Ticket").fill("WO-1")
        open_plant.act({"id": one}, "acknowledge")
        ben.get_by_role("button", name="Close").click()
        expect(ben.locator(".message.failed")).to_contain_text("somebody was faster")
        expect(ben.locator("#facts")).to_contain_text("Open, acknowledged")
        expect(note).to_have_value("inner race")
        expect(ben.get_by_label("Close: it was")).to_have_value("confirmed")
        expect(ben.get_by_label("Ticket")).to_have_value("WO-1")
        ben.get_by_label("Comment").fill("done")
        ben.get_by_role("button", name="Note it").click()
        expect(ben.locator(".message.done")).to_have_text("The incident noted, as ANNA")
        expect(ben.get_by_label("Comment")).to_have_value("")
        expect(note).to_have_value("inner race")
        ben.get_by_role("button", name="Close").click()
        expect(ben.locator("#log")).to_contain_text("(confirmed: it was a fault)")


def test_ticks_are_kept_when_a_reason_is_missing(browser: Browser, open_plant: ShownPlant) -> None:
    an_incident(open_plant)
    with visit(browser, open_plant.url) as page:
        named(page)
        page.goto("/")
        page.locator("[name=incident]").first.check()
        page.get_by_role("button", name="Shelve", exact=True).click()
        expect(page.locator(".message.failed")).to_contain_text("Because")
        expect(page.locator("[data-picked]")).to_have_text("(1)")


def test_the_longest_names_stay_inside_the_screen(browser: Browser, open_plant: ShownPlant) -> None:
    asset = "W" * 255
    one = an_incident(open_plant, asset)
    with visit(browser, open_plant.url, viewport={"width": 360, "height": 800}) as page:
        named(page)
        for path in (f"/incidents/{one}", f"/assets/{asset}", "/", "/fleet", "/kpis"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_whoever_uses_the_keyboard_goes_on_where_they_were(
    browser: Browser, open_plant: ShownPlant
) -> None:
    one = an_incident(open_plant)
    with visit(browser, open_plant.url) as page:
        named(page)
        page.goto(f"/incidents/{one}")
        comment = page.get_by_label("Comment")
        comment.fill("by keyboard")
        page.keyboard.press("Enter")
        expect(page.locator("#log")).to_contain_text("by keyboard")
        expect(comment).to_be_focused()
        page.get_by_role("button", name="Assign").press("Enter")
        expect(page.locator(".message")).to_be_visible()
        expect(page.get_by_role("button", name="Assign")).to_be_focused()
        page.get_by_role("button", name="Acknowledge").press("Enter")
        expect(page.locator(".message.done")).to_contain_text("acknowledged")
        expect(page.locator("#main")).to_be_focused()  # its button is gone


#: JavaScript: counts the exchanges after which the focus, or a time in the viewer's zone, is
#: missing for a moment.
NOTE_GAPS = """() => {
  const seen = document.body.dataset;
  seen.gaps = 0;
  document.addEventListener("htmx:afterSwap", () => setTimeout(() => {
    if (document.activeElement === document.body) seen.gaps = Number(seen.gaps) + 1;
    if (document.querySelector("time:not([data-local])")) seen.gaps = Number(seen.gaps) + 1;
  }));
}"""


def refresh(page: Page, part: str) -> None:
    """Let the page look for what is new, and wait until this part of it is replaced."""
    page.locator(part).evaluate("(it) => { it.dataset.old = ''; }")
    page.evaluate("() => { document.body.dispatchEvent(new Event('refresh')); }")
    expect(page.locator(f"{part}[data-old]")).to_have_count(0)


def test_a_refresh_takes_neither_the_focus_nor_a_key(
    browser: Browser, open_plant: ShownPlant
) -> None:
    """Else Enter presses another button than the chosen one, and typed letters are lost."""
    one, _, last = (an_incident(open_plant) for _ in range(3))
    with visit(browser, open_plant.url) as page:
        named(page)
        page.goto("/")
        page.evaluate(NOTE_GAPS)
        because = page.get_by_label("because")
        because.fill("half a sentence")
        chosen = page.get_by_role("button", name="Shelve", exact=True)
        for element in (chosen, page.get_by_role("link", name="All", exact=True), because):
            element.focus()
            refresh(page, "#list")
            expect(element).to_be_focused()
        page.keyboard.press("Home")
        refresh(page, "#list")
        page.keyboard.type("not ")
        expect(because).to_have_value("not half a sentence")
        page.locator(f"#i-{last} button").focus()
        refresh(page, "#list")
        expect(page.locator(f"#i-{last} button")).to_be_focused()
        open_plant.act({"id": last}, "acknowledge")  # its row goes, and the next is another's
        refresh(page, "#list")
        expect(page.get_by_role("group", name="The incidents")).to_be_focused()
        expect(page.locator("body")).to_have_attribute("data-gaps", "0")
        page.goto(f"/incidents/{one}")
        page.get_by_role("button", name="Acknowledge").focus()
        refresh(page, "#facts")
        expect(page.get_by_role("button", name="Acknowledge")).to_be_focused()
        open_plant.act({"id": one}, "acknowledge")
        refresh(page, "#facts")
        expect(page.get_by_role("button", name="Take the ack")).not_to_be_focused()
