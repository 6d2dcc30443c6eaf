"""Fill in secrets of the route file from the environment, and remove them from messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: Fields of a receiver that are secret even if the file contains them.
_SECRET = ("url", "secret", "password", "headers")


class Secrets:
    """Values from the environment, which must never be shown.

    Parameters
    ----------
    environment : mapping
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._found: set[str] = set()

    def fill(self, value: Any, at: str = "") -> Any:
        """Replace ``${NAME}`` by the environment's values, and remember these."""
        if isinstance(value, dict):
            return {k: self.fill(v, f"{at}.{k}".strip(".")) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(one, at) for one in value]
        if not isinstance(value, str):
            return value
        for name in _VARIABLE.findall(value):
            if not self._environment.get(name, "").strip():
                raise LookupError(f"{at}: ${{{name}}} is not set in the environment")
            self._add(self._environment[name].strip())
        filled = _VARIABLE.sub(lambda match: self._environment[match[1]].strip(), value)
        if at.split(".")[0] in _SECRET:  # secret even if written in the file itself
            self._add(filled)
        return filled

    def _add(self, value: str) -> None:
        _, found, address = value.partition("://")  # an error may contain only a part of it
        parts = re.split(r"[/:@?&=#]+", address) if found else value.split()
        self._found |= {value, *(one for one in parts if len(one) > 3)} - {""}

    def scrub(self, text: object) -> str:
        """Remove secrets from a message, and shorten it."""
        found = " ".join(str(text).split())
        for secret in sorted(self._found, key=len, reverse=True):
            found = found.replace(secret, "***")
        return found[:300]
