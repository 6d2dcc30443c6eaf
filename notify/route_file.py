"""Read the file of routes.

Every error names the file, the route or receiver, and the field. Values like ``${NAME}`` are read
from the environment; they never appear in a message or ``repr``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from errors import SettingsError
from notify.receivers import AnyReceiver
from notify.routes import Route, Routes
from notify.secret_values import Secrets

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


def load(path: str, environment: Mapping[str, str]) -> Routes:
    """Read the file of routes.

    Raises
    ------
    SettingsError
        Names the file, the route or receiver, and the field.
    """
    where = f"NOTIFY_ROUTES: {path}"
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # not TOML, not UTF-8, too deep
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{where}: {reason}", field="NOTIFY_ROUTES") from None
    if unknown := raw.keys() - {"link", "routes", "receivers"}:
        raise _wrong(where, f"{min(unknown)!r} is no field")
    secrets = Secrets(environment)
    receivers: dict[str, AnyReceiver] = _each(raw, "receivers", AnyReceiver, where, secrets)
    routes: dict[str, Route] = _each(raw, "routes", Route, where, secrets)
    for name, route in routes.items():
        unknown = set(route.receivers) - receivers.keys()
        if unknown or not route.receivers:
            problem = f"there is no receiver {min(unknown)!r}" if unknown else "is empty"
            raise _wrong(where, f"route {name!r}: receivers: {problem}")
    link = raw.get("link")
    if link is not None and not (isinstance(link, str) and "{id}" in link):
        raise _wrong(where, "link: is not a text that contains {id}")
    shown = {name: _shown(table) for name, table in raw["receivers"].items()}
    return Routes(routes, receivers, shown, link, secrets)


def _wrong(where: str, what: str) -> SettingsError:
    return SettingsError(f"{where}: {what}", field="NOTIFY_ROUTES")


def _each(raw: dict[str, Any], key: str, kind: Any, where: str, secrets: Secrets) -> Any:
    tables, found = raw.get(key), {}
    if not isinstance(tables, dict) or not tables:
        raise _wrong(where, f"{key}: no [{key}.NAME] in it")
    for name, table in tables.items():
        entry = f"{key[:-1]} {name!r}"
        if not _NAME.fullmatch(name):
            raise _wrong(where, f"{entry}: names have 1 to 100 characters, no control characters")
        try:
            filled = secrets.fill(table) if key == "receivers" else table
            found[name] = msgspec.convert(filled, kind)
        except (msgspec.ValidationError, LookupError, ValueError) as error:
            what, _, at = str(error.args[0]).partition(" - at `$")
            at = f"{at.strip('.`')}: " if at else ""
            raise _wrong(where, f"{entry}: {at}{secrets.scrub(what)}") from None
    return found


def _shown(table: Mapping[str, Any]) -> str:
    """Describe a receiver as in the file, without secret fields."""
    at = str(table.get("url") or table["host"])
    if "${" not in at and "://" in at:
        shown = "..." if table["type"] == "apprise" else urlsplit(at).hostname
        at = f"{at.partition('://')[0]}://{shown}"
    return f"{table['type']} {at}"
