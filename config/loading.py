"""Read the settings from the environment or ``.env``, and report misspelt names."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from config.settings import Settings
from errors import SettingsError

log = logging.getLogger("config")

#: A name that resembles a setting's this much is taken for a misspelt one (SERVICE_PROT: 0.92).
_ALIKE = 0.9


def load_settings(**overrides: object) -> Settings:
    """Read the settings; an error names the wrong one as in the environment.

    Raises
    ------
    SettingsError
        Names the setting, the reason, and (unless it is a secret) the value.
    """
    for name, meant in misspelt([*os.environ, *_dotenv_names()]).items():
        _warn_of(name, meant)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).upper() or "settings"
        secret = any(word in name for word in ("KEY", "PASSWORD", "URL", "URI"))
        value = "" if secret or not first["loc"] else f" (got {first['input']!r})"
        raise SettingsError(
            f"{name}: {first['msg'].removeprefix('Value error, ')}{value}", field=name
        ) from None


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Return the names that are no settings but resemble one, each with the setting.

    Others cannot be judged: the environment and ``.env`` are shared with other programs.
    """
    known = [name.upper() for name in Settings.model_fields]
    words = {name.partition("_")[0][:3] for name in known}
    found = {}
    for name in dict.fromkeys(name.upper() for name in names):
        if name in known or name[:3] not in words:  # most are foreign; comparing takes time
            continue
        if alike := get_close_matches(name, known, n=1, cutoff=_ALIKE):
            found[name] = alike[0]
    return found


def _dotenv_names() -> list[str]:
    try:
        text = Path(".env").read_text(encoding="utf-8", errors="replace")
    except OSError:  # missing, or reading the settings will say why it cannot be read
        return []
    return re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", text, re.MULTILINE)


@cache
def _warn_of(name: str, meant: str) -> None:
    """Warn once per process."""
    log.warning("%s is not a setting and has no effect: is %s meant?", name, meant)
