"""API keys: who may call what.

``API_KEYS`` holds ``role:sha256-hex`` pairs, comma separated; the key itself is never stored. Roles
form a ladder, ``read < detect < train``: a key may do all that the roles below its own may. With no
keys configured every call is open. Health and probes are open always.

Make a pair with ``printf %s "$KEY" | sha256sum``.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from typing import Literal, get_args

from errors import AccessDenied, SettingsError

Role = Literal["read", "detect", "train"]
ROLES: tuple[Role, ...] = get_args(Role)
_HEX = re.compile(r"[0-9a-f]{64}")


class Keys:
    """The keys in force.

    Parameters
    ----------
    entries : list of (role, sha256 hex digest)
    """

    def __init__(self, entries: list[tuple[Role, str]]) -> None:
        self._entries = entries

    @classmethod
    def parse(cls, text: str) -> Keys:
        """Read the setting ``API_KEYS``.

        Raises
        ------
        SettingsError
            Names the role or the place of the pair; never shows the digest.
        """
        entries: list[tuple[Role, str]] = []
        for place, pair in enumerate((p.strip() for p in text.split(",")), start=1):
            if not pair:
                continue
            name, _, digest = pair.partition(":")
            role = next((r for r in ROLES if r == name.strip().lower()), None)
            digest = digest.strip().lower()
            if role is None:
                raise SettingsError(
                    f"API_KEYS: pair {place} must start with one of {', '.join(ROLES)} and a colon",
                    field="API_KEYS",
                )
            if not _HEX.fullmatch(digest):
                raise SettingsError(
                    f"API_KEYS: pair {place} ({role}) needs a SHA-256 of 64 hex digits",
                    field="API_KEYS",
                )
            entries.append((role, digest))
        return cls(entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def check(self, headers: Mapping[str, str], role: Role) -> None:
        """Let the call pass, or raise.

        Parameters
        ----------
        headers : Mapping[str, str]
            ``Authorization: Bearer <key>`` or ``X-API-Key: <key>``.
        role : Role
            What the call needs.

        Raises
        ------
        AccessDenied
            401 without a known key, 403 when the key's role is too low.
        """
        if not self._entries:
            return
        held = self._role_of(_presented(headers))
        if held is None:
            raise AccessDenied(
                "this call needs an API key: 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"
            )
        if ROLES.index(held) < ROLES.index(role):
            denied = AccessDenied(f"this key has the role {held}, the call needs {role}")
            denied.status = 403
            raise denied

    def _role_of(self, key: str) -> Role | None:
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        best: Role | None = None
        # every entry is compared, whichever matches: the time taken tells nothing
        for role, known in self._entries:
            equal = hmac.compare_digest(digest, known)
            if equal and (best is None or ROLES.index(role) > ROLES.index(best)):
                best = role
        return best


def _presented(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "")


def is_public(host: str) -> bool:
    """Whether a bound address can be reached from other machines."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
