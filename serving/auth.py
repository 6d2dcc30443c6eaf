"""Check API keys and their roles.

``API_KEYS`` holds ``name:role:sha256-hex`` entries, comma separated; the key itself is never
stored. Actions are logged under the key's name (without one: its role and 8 digits of its hash).
Each role includes the ones before it: ``read < detect < operate < train``. Without configured keys
every call is open. Health and probes are always open.

``python -m serving.auth ROLE NAME`` makes an access key for the REST API, and its entry for
API_KEYS. Nothing is stored: the caller gets the key, the service the hash.

roles: read (status, history), detect (read, and scoring: for the bridge), operate (detect, and
people's actions: incidents, assets), train (operate, and training). A caller sends
'Authorization: Bearer KEY' or 'X-API-Key: KEY'; the bridge's key is its SERVICE_API_KEY. To revoke
a key, remove its entry from API_KEYS and restart the service.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from errors import AccessDenied, SettingsError
from runtime import command_parser, run_command

Role = Literal["read", "detect", "operate", "train"]
ROLES: tuple[Role, ...] = get_args(Role)
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[^\s:,\x00-\x1f][^:,\x00-\x1f]{0,99}")
#: Random bytes of a new key: 256 bits cannot be guessed.
KEY_BYTES = 32


class Key(NamedTuple):
    """One entry: name, role and digest of a key."""

    name: str
    role: Role
    digest: str

    @property
    def mark(self) -> str:
        """Identify the key without its digest, for a browser's cookie."""
        return hashlib.sha256(f"page:{self.role}:{self.digest}".encode()).hexdigest()[:32]


class Keys:
    """Check API keys against the configured ones."""

    def __init__(self, entries: list[Key]) -> None:
        self._entries = entries

    @classmethod
    def parse(cls, text: str) -> Keys:
        """Read the setting ``API_KEYS``.

        Raises
        ------
        SettingsError
            Names the role or the position of the entry; never shows the digest.
        """
        entries: list[Key] = []
        for number, entry in enumerate((p.strip() for p in text.split(",")), start=1):
            if not entry:
                continue
            front, _, digest = entry.rpartition(":")
            name, _, given = front.rpartition(":")
            role = next((r for r in ROLES if r == given.strip().lower()), None)
            name, digest = name.strip(), digest.strip().lower()
            if role is None:
                raise _wrong(number, f"is not name:role:sha256 with a role of {', '.join(ROLES)}")
            if not _HEX.fullmatch(digest):
                raise _wrong(number, f"({role}) needs a SHA-256 of 64 hex digits")
            if name and not _NAME.fullmatch(name):
                what = "a name of at most 100 characters without colons, commas and line breaks"
                raise _wrong(number, f"({role}) needs {what}")
            entries.append(Key(name or f"{role}-{digest[:8]}", role, digest))
        return cls(entries)

    def __bool__(self) -> bool:
        """Return whether any key is configured."""
        return bool(self._entries)

    def check(self, headers: Mapping[str, str], role: Role) -> str | None:
        """Raise unless the request's key allows the call.

        Returns
        -------
        str or None
            The name of the key; None if no keys are configured.

        Parameters
        ----------
        headers : Mapping[str, str]
            ``Authorization: Bearer <key>`` or ``X-API-Key: <key>``.
        role : Role
            The role that the call needs.

        Raises
        ------
        AccessDenied
            401 without a known key, 403 if the key's role is too low.
        """
        if not self._entries:
            return None
        held = self.find(_presented(headers))
        if held is None:
            raise AccessDenied(
                "this call needs an API key: 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"
            )
        if ROLES.index(held.role) < ROLES.index(role):
            raise AccessDenied(
                f"this key has the role {held.role}, but the call needs {role}", status=403
            )
        return held.name

    def marked(self, mark: str) -> Key | None:
        """Find the entry of a mark; None if it is no longer configured."""
        found = [one for one in self._entries if hmac.compare_digest(one.mark, mark)]
        return found[0] if found else None

    def find(self, key: str) -> Key | None:
        """Find the entry of a key, the one with the highest role; None if unknown."""
        digest = digest_of(key)
        best: Key | None = None
        # compare every entry, so that the time taken reveals nothing
        for entry in self._entries:
            equal = hmac.compare_digest(digest, entry.digest)
            if equal and (best is None or ROLES.index(entry.role) > ROLES.index(best.role)):
                best = entry
        return best


def _wrong(number: int, what: str) -> SettingsError:
    return SettingsError(f"API_KEYS: entry {number} {what}", field="API_KEYS")


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key as ``API_KEYS`` holds it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _presented(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "")


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address; None if the text is a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_public(host: str) -> bool:
    """Return whether a bound address can be reached from other machines."""
    address = address_of(host)
    return host != "localhost" if address is None else not address.is_loopback


def open_to_all(host: str, keys: Keys) -> str | None:
    """Return a warning if other machines reach the service and it has no keys; else None.

    Parameters
    ----------
    host
        The address that the service is bound to.
    keys
        Those of ``API_KEYS``.
    """
    if keys or not is_public(host):
        return None
    return (
        f"the service listens on {host} without API keys, so anyone who can reach it can call it;"
        " set API_KEYS, or SERVICE_HOST=127.0.0.1"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print a new key and its entry, or the entry of the key on standard input."""
    parser = command_parser("serving.auth", __doc__)
    parser.add_argument("role", nargs="?", choices=ROLES, default="detect", help="default: detect")
    parser.add_argument(
        "name", nargs="?", default="", help="name of the key's owner; default: none"
    )
    parser.add_argument(
        "--stdin", action="store_true", help="hash your own key, read from standard input"
    )
    given = parser.parse_args(arguments)
    key = sys.stdin.readline().strip() if given.stdin else secrets.token_urlsafe(KEY_BYTES)
    if not key:
        parser.error("standard input contains no key")
    entry = f"{given.role}:{digest_of(key)}"
    if given.name:
        entry = f"{given.name}:{entry}"
    try:
        Keys.parse(entry)
    except SettingsError as error:
        parser.error(error.message)
    if not given.stdin:
        print(f"key (shown only now): {key}")
    print(f"API_KEYS={entry}")
    return 0


if __name__ == "__main__":
    run_command(main)
