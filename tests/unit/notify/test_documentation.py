"""docs/notifications.md: its example is a file that loads, its snippet is code that runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from notify import receivers, route_file, routes
from notify.senders import make_all

TEXT = (Path(__file__).resolve().parents[3] / "docs/notifications.md").read_text()
ENVIRONMENT = {
    "WORK_ORDERS_SECRET": "s3cret-of-the-hook", "WORK_ORDERS_TOKEN": "t0ken", "SMTP_PASSWORD": "pw",
    "SLACK_URL": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#maintenance",
}  # fmt: skip


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def documented(name: str) -> Callable[..., Any]:
    """The function that a snippet defines."""
    space: dict[str, Any] = {}
    (snippet,) = blocks("python")
    exec(snippet, space)  # noqa: S102 (our own documentation)
    function: Callable[..., Any] = space[name]
    return function


def test_the_example_loads_and_every_receiver_can_be_made(tmp_path: Path) -> None:
    (example,) = blocks("toml")
    path = tmp_path / "routes.toml"
    path.write_text(example)
    found = route_file.load(str(path), ENVIRONMENT)
    kinds = {str(one.__struct_config__.tag) for one in found.receivers.values()}
    assert kinds == {"webhook", "email", "alertmanager", "apprise"}
    assert set(make_all(found, str(path))) == set(found.receivers)
    assert found.shown["chat"] == "apprise ${SLACK_URL}"
    for secret in ENVIRONMENT.values():
        assert secret not in repr(found)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("Webhook", receivers.Webhook), ("E-mail", receivers.Email),
     ("Alertmanager", receivers.Alertmanager), ("Others", receivers.Apprise)],
)  # fmt: skip
def test_every_field_of_a_receiver_is_listed(heading: str, kind: type[msgspec.Struct]) -> None:
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"`(\w+)`", section.rsplit("Fields:", 1)[1]))
    assert listed == {one.name for one in msgspec.structs.fields(kind)}


def test_every_change_is_listed() -> None:
    table = TEXT.split("| change |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    listed = {one for row in rows for one in re.findall(r"`([\w ]+)`", row)}
    assert listed == set(routes.ChangeName.__args__)  # type: ignore[attr-defined]
