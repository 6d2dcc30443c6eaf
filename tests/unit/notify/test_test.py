"""The test message, and the table of routes."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import InputError
from notify.route_file import load
from notify.routes import Route, reported_as
from notify.test import listed, sample, send

FILE = """
[receivers.hook]
type = "webhook"
url = "http://127.0.0.1:9/x"
timeout_s = 0.2
[routes.night]
receivers = ["hook"]
assets = ["PUMP_*", "FAN"]
severity = "high"
quiet = [
    {from = "22:00", until = "06:00"},
    {from = "00:00", until = "00:00", days = ["sat", "sun"], unless_severity = "high"},
]
"""


def test_a_sample_fits_its_route_and_calls_itself_one() -> None:
    route = Route(receivers=("x",), severity="critical")
    made = sample(route)
    assert route.fits(made.incident)
    assert reported_as(made) == "opened"
    assert made.why is not None
    assert "no such incident" in made.why


def test_routes_are_shown_as_a_table(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(FILE)
    heading, row = listed(load(str(tmp_path / "routes.toml"), {})).split("\n")
    assert heading.split() == [
        "route", "assets", "sensors", "groups", "from", "changes", "quiet", "receivers",
    ]  # fmt: skip
    quiet = "22:00-06:00 UTC unless critical, sat sun 00:00-00:00 UTC unless high"
    for text in ("PUMP_*, FAN", quiet, "hook (webhook http://127.0.0.1)"):
        assert row[heading.index("assets") :].count(text) == 1
    assert row.index("high") == heading.index("from")


def test_each_receiver_of_a_route_is_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(FILE)
    routes = load(str(path), {})
    assert send(routes, str(path), "night") is False  # nobody listens on that port
    assert capsys.readouterr().out.startswith("hook (webhook http://127.0.0.1): FAILED: ")
    with pytest.raises(InputError, match="there is no 'day', only night"):
        send(routes, str(path), "day")
