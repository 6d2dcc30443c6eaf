"""The file of routes: errors that name their place, secrets that stay secret, quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from errors import SettingsError
from notify.route_file import load
from notify.routes import Quiet, Route, decide
from notify.senders import make_all
from tests.unit.notify.changes import AT, change

GOOD = """
[receivers.hook]
type = "webhook"
url = "https://a.example/x"
[routes.r]
receivers = ["hook"]
"""


def written(folder: Path, toml: str) -> str:
    path = folder / "routes.toml"
    path.write_text(toml)
    return str(path)


HOOK = '[receivers.hook]\ntype = "webhook"\nurl = "https://a.example/x"\n'
ALERTS = '[receivers.am]\ntype = "alertmanager"\nurl = "https://a.example"\n'
MAIL = '[receivers.m]\ntype = "email"\nhost = "h"\nsender = "a@b"\nto = ["x@z"]\n'


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("\nroutes = what", "line 2"),
        ("", "receivers: no [receivers.NAME] in it"),
        (GOOD.replace("[routes.r]", "[other]"), "'other' is no field"),
        (GOOD + "nonsense = 1", "route 'r': Object contains unknown field `nonsense`"),
        (GOOD.replace('"hook"]', '"none"]'), "route 'r': receivers: there is no receiver 'none'"),
        (GOOD.replace('["hook"]', "[]"), "route 'r': receivers: is empty"),
        (GOOD + 'severity = "severe"', "route 'r': severity: Invalid enum value 'severe'"),
        (GOOD + 'changes = ["oppened"]', "route 'r': changes[0]: Invalid enum value 'oppened'"),
        (GOOD + "assets = 5", "route 'r': assets: Expected `array`, got `int`"),
        (GOOD.replace("https:", "ftp:"), "receiver 'hook': url: no address like https://host/path"),
        (GOOD.replace('"webhook"', '"pager"'), "receiver 'hook': type: Invalid value 'pager'"),
        (GOOD.replace('"https://a.example/x"', "7"), "receiver 'hook': url: Expected `str`"),
        (GOOD.replace("url =", "urk ="), "receiver 'hook': Object contains unknown field `urk`"),
        (GOOD.replace("a.example", "${NONE}"), "receiver 'hook': url: ${NONE} is not set"),
        (GOOD.replace("receivers.hook", 'receivers."a\\nb"'), "names have 1 to 100 characters"),
        ('link = "x"' + GOOD, "link: is not a text that contains {id}"),
        (
            GOOD + 'quiet = [{from = "25:00", until = "6:00"}]',
            "route 'r': quiet[0]: from: '25:00' is no time of day",
        ),
        (
            GOOD + 'quiet = [{from = "22:00", until = "06:00", time_zone = "Mars"}]',
            "time_zone: 'Mars' is no time zone",
        ),
        (
            GOOD + 'quiet = [{from = "22:00+02:00", until = "06:00"}]',
            "quiet[0]: from: '22:00+02:00' is no time of day",
        ),
        ("x = " + "[" * 5000, "recursion"),
        ("x = " + "9" * 5000, "4300 digits"),
        (GOOD.replace("https://a.example/x", "https://[a"), "receiver 'hook': url: no address"),
        (GOOD.replace("a.example", "a.example:99999"), "receiver 'hook': url: no address"),
        (HOOK + "timeout_s = -1", "receiver 'hook': timeout_s: Expected `float` >= 0.1"),
        (HOOK + "timeout_s = nan", "receiver 'hook': timeout_s: Expected `float` >= 0.1"),
        (HOOK + "timeout_s = inf", "receiver 'hook': timeout_s: Expected `float` <= 86400"),
        (HOOK + 'secret = ""', "receiver 'hook': secret: Expected `str` of length >= 1"),
        ('[receivers.a]\ntype = "apprise"\nurl = ""', "receiver 'a': url: Expected `str`"),
        (ALERTS + "repeat_s = 0", "receiver 'am': repeat_s: Expected `float` >= 0.1"),
        (ALERTS + "repeat_s = 1e300", "receiver 'am': repeat_s: Expected `float` <= 86400"),
        (MAIL + "port = 99999", "receiver 'm': port: Expected `int` <= 65535"),
        (MAIL + "summary_above = -1", "receiver 'm': summary_above: Expected `int` >= 0"),
        (
            '[receivers.m]\ntype = "email"\nhost = "h"\nsender = "a@b"\nto = ["x\\ny@z"]',
            "receiver 'm': sender, to: not all are addresses",
        ),
    ],
)
def test_error_names_file_place_and_field(tmp_path: Path, toml: str, message: str) -> None:
    path = written(tmp_path, toml)
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    assert caught.value.message.startswith(f"NOTIFY_ROUTES: {path}: ")
    assert message in caught.value.message


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"routes\.toml: No such file"):
        load(str(tmp_path / "routes.toml"), {})


SECRET = "https://hooks.example/T0000/very-secret-path"


@pytest.mark.parametrize(
    "toml",
    [
        GOOD.replace("https:", "json://[x").replace("webhook", "apprise"),
        HOOK + 'secret = "whsec_"\n[routes.r]\nreceivers = ["hook"]',
    ],
)
def test_a_receiver_that_cannot_be_made_is_an_error_of_the_file(tmp_path: Path, toml: str) -> None:
    path = written(tmp_path, toml)
    with pytest.raises(SettingsError, match=r"NOTIFY_ROUTES: .*receiver 'hook': "):
        make_all(load(path, {}), path)


@pytest.mark.parametrize(
    "error",
    [f"cannot reach {SECRET}", "host hooks.example is not known", "GET /T0000/very-secret-path"],
)
def test_what_came_from_the_environment_is_in_no_message(tmp_path: Path, error: str) -> None:
    toml = GOOD.replace("https://a.example/x", "${HOOK}") + '[receivers.b]\ntype = "webhook"\n'
    toml += 'url = "https://user:pw@b.example/secret"\nsecret = "literal-secret"'
    found = load(written(tmp_path, toml), {"HOOK": SECRET})
    scrubbed = found.secrets.scrub(error + " literal-secret")
    assert "***" in scrubbed
    assert not any(word in scrubbed for word in ("hooks", "T0000", "very-secret", "literal"))
    assert found.shown == {"hook": "webhook ${HOOK}", "b": "webhook https://b.example"}


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    toml = GOOD.replace('type = "webhook"', 'type = "webhook"\nsecret = "${S}"')
    found = load(written(tmp_path, toml), {"S": "s3cr3t"})
    assert "s3cr3t" not in repr(found)
    assert "s3cr3t" not in repr(found.receivers["hook"])


def route(**fields: Any) -> Route:
    return Route(receivers=("x",), **fields)


def incident(**columns: Any) -> dict[str, Any]:
    return {"asset_id": "A", "sensor_id": None, "group_name": None, "severity": "high", **columns}


@pytest.mark.parametrize(
    ("fields", "columns", "fits"),
    [
        ({}, {}, True),
        ({"assets": ("PUMP_*", "A")}, {}, True),
        ({"assets": ("PUMP_*",)}, {}, False),
        ({"assets": ("pump*",)}, {"asset_id": "PUMP"}, False),
        ({"sensors": ("S?",)}, {}, False),
        ({"sensors": ("",)}, {}, True),
        ({"sensors": ("S?",)}, {"sensor_id": "S1"}, True),
        ({"groups": ("vib*",)}, {"group_name": "vibration"}, True),
        ({"severity": "critical"}, {}, False),
        ({"severity": "high"}, {}, True),
        ({"severity": "medium"}, {}, True),
    ],
)
def test_which_incidents_are_a_routes(
    fields: dict[str, Any], columns: dict[str, Any], fits: bool
) -> None:
    assert route(**fields).fits(incident(**columns)) is fits


def at(day: int, clock: str, month: int = 3) -> datetime:
    return datetime.fromisoformat(f"2026-{month:02}-{day:02}T{clock}").replace(tzinfo=UTC)


NIGHT = Quiet(start="22:00", until="06:00", time_zone="Europe/Zurich")


@pytest.mark.parametrize(
    ("quiet", "now", "ends"),
    [
        (NIGHT, at(10, "20:59"), None),
        (NIGHT, at(10, "21:00"), at(11, "05:00")),
        (NIGHT, at(11, "04:59"), at(11, "05:00")),
        (NIGHT, at(11, "05:00"), None),
        # 29 March: the clocks go forward, so that 06:00 is 04:00 UTC
        (NIGHT, at(28, "21:30"), at(29, "04:00")),
        (NIGHT, at(29, "04:30"), None),
        # 25 October: back
        (NIGHT, at(24, "20:30", 10), at(25, "05:00", 10)),
        (Quiet(start="00:00", until="00:00", days=("sat",)), at(14, "13:00"), at(15, "00:00")),
        (Quiet(start="00:00", until="00:00", days=("sat",)), at(15, "13:00"), None),
        # begun on Friday, and still on in the small hours of Saturday
        (Quiet(start="22:00", until="06:00", days=("fri",)), at(14, "05:00"), at(14, "06:00")),
        (Quiet(start="12:00", until="13:00"), at(14, "12:30"), at(14, "13:00")),
        (Quiet(start="12:00", until="13:00"), at(14, "13:30"), None),
    ],
)
def test_quiet_hours(quiet: Quiet, now: datetime, ends: datetime | None) -> None:
    assert quiet.ends(now) == ends


def test_severe_incidents_are_not_held() -> None:
    night = Quiet(start="00:00", until="00:00", unless_severity="high")
    held = route(quiet=(night,))
    assert held.held_until("medium", at(10, "12:00")) == at(11, "00:00")
    assert held.held_until("high", at(10, "12:00")) is None


def test_a_route_that_names_it_is_notified_of_the_end_of_persistent(tmp_path: Path) -> None:
    """Otherwise its receiver sees `persistent` twice, and not that the readings alarm again."""
    wanted = 'changes = ["persistent", "no longer persistent"]\n'
    route = load(written(tmp_path, GOOD + wanted), {}).of("hook")[0]
    sent = ["persistent", "no longer persistent", "persistent"]
    assert [what for what in ["opened", *sent] if decide([route], change(what), AT)] == sent
    assert not decide([Route(receivers=("hook",))], change("no longer persistent"), AT)
