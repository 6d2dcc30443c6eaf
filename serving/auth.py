"""API keys: who may call what.

``API_KEYS`` holds ``role:sha256-hex`` pairs, comma separated; the key itself is never stored. Roles
form a ladder, ``read < detect < train``: a key may do all that the roles below its own may. With no
keys configured every call is open. Health and probes are open always.

``python -m serving.auth ROLE`` makes a key and its pair.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import ipaddress
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Literal, get_args

from errors import AccessDenied, SettingsError
from runtime import run_command

Role = Literal["read", "detect", "train"]
ROLES: tuple[Role, ...] = get_args(Role)
_HEX = re.compile(r"[0-9a-f]{64}")
#: Random bytes of a new key: 256 bits, out of reach of guessing.
KEY_BYTES = 32


class Keys:
    """Check API keys against those configured.

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
        """Return whether any key is configured."""
        return bool(self._entries)

    def check(self, headers: Mapping[str, str], role: Role) -> None:
        """Raise unless the key of a request may make the call.

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
        digest = digest_of(key)
        best: Role | None = None
        # every entry is compared, whichever matches: the time taken tells nothing
        for role, known in self._entries:
            equal = hmac.compare_digest(digest, known)
            if equal and (best is None or ROLES.index(role) > ROLES.index(best)):
                best = role
        return best


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key as ``API_KEYS`` holds it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _presented(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "")


def is_public(host: str) -> bool:
    """Return whether a bound address can be reached from other machines."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def main(arguments: list[str] | None = None) -> int:
    """Print a new key and its pair, or the pair of the key on standard input."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.auth",
        description="Make an access key for the REST API, and its line for API_KEYS. Nothing is"
        " stored: the caller gets the key, the service the hash.",
        epilog="roles: read (status, history), detect (read, and scoring: the bridge's), train"
        " (detect, and training). Several pairs stand in API_KEYS with commas between. A caller"
        " sends 'Authorization: Bearer KEY' or 'X-API-Key: KEY'; the bridge's key is its"
        " SERVICE_API_KEY. A key that is lost or leaked: take its pair out of API_KEYS and"
        " restart the service.",
    )
    parser.add_argument("role", nargs="?", choices=ROLES, default="detect", help="default: detect")
    parser.add_argument(
        "--stdin", action="store_true", help="hash a key of your own, read from standard input"
    )
    given = parser.parse_args(arguments)
    key = sys.stdin.readline().strip() if given.stdin else secrets.token_urlsafe(KEY_BYTES)
    if not key:
        parser.error("standard input holds no key")
    if not given.stdin:
        print(f"key (shown only now): {key}")
    print(f"API_KEYS={given.role}:{digest_of(key)}")
    return 0


if __name__ == "__main__":
    run_command(main)
