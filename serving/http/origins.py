"""Reject requests that other web pages make a browser send.

A browser inside the plant's network sends requests for any web page, some of them without asking
the service first. The request's headers show this (the checks are those of Go's
``http.CrossOriginProtection``); programs send none of these headers and are accepted.

A page may also resolve its own name to this machine (DNS rebinding). The Host header is then a
name that the service does not have. IP addresses cannot be rebound, so they are accepted.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

from errors import AccessDenied
from serving.auth import address_of, is_public

#: Methods that change nothing; a foreign page cannot read their responses.
SAFE = ("GET", "HEAD", "OPTIONS")
_PORTS = {"http": 80, "https": 443}


class Origins:
    """Reject requests made by other web pages.

    Parameters
    ----------
    names : frozenset of str
        Names of the service; pages under these names may call it.
    any_host : bool
        Whether any name in ``Host`` is accepted.
    """

    def __init__(self, names: frozenset[str], *, any_host: bool) -> None:
        self._names = names
        self._any_host = any_host
        self._known = lru_cache(maxsize=64)(self._is_known)  # clients use only a few names

    @classmethod
    def parse(cls, allowed_hosts: str, bound_to: str) -> Origins:
        """Read the setting ``ALLOWED_HOSTS``.

        Parameters
        ----------
        allowed_hosts : str
            Names, comma separated.
        bound_to : str
            The address that the service listens on. Without names, ``Host`` is checked only on a
            loopback address.
        """
        names = frozenset(filter(None, (n.strip().lower() for n in allowed_hosts.split(","))))
        return cls(names, any_host=not names and is_public(bound_to))

    def check(self, scope: MutableMapping[str, Any]) -> None:
        """Raise if the request comes from a foreign page or has an unknown ``Host``.

        Raises
        ------
        AccessDenied
            403, ``unknown_host`` or ``foreign_origin``.
        """
        host = origin = site = b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if not self._known(host):
            raise _denied(
                f"Host: {_shown(host)} is not a name of this service (ALLOWED_HOSTS)",
                "unknown_host",
            )
        if scope["method"] in SAFE or not (origin or site):
            return
        if self._is_foreign(host, origin, site):
            raise _denied(
                f"Origin: a page of {_shown(origin or site)} may not call this service"
                " (ALLOWED_HOSTS lists the service's own names)",
                "foreign_origin",
            )

    def knows_host(self, scope: MutableMapping[str, Any]) -> bool:
        """Return whether the request was sent to a name of the service."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        return all(map(self._known, hosts))

    def _is_known(self, host: bytes) -> bool:
        if self._any_host or not host:  # every browser sends Host
            return True
        name = _parts(host.decode("latin-1")).hostname or ""
        return name in self._names or name == "localhost" or address_of(name) is not None

    def _is_foreign(self, host: bytes, origin: bytes, site: bytes) -> bool:
        page, own = _url(origin.decode("latin-1")), _parts(host.decode("latin-1"))
        if page is not None and page.hostname in self._names:
            return False
        if site and site not in (b"same-origin", b"none"):
            return True
        if not origin:
            return False
        port = _PORTS.get(page.scheme, 0) if page is not None else 0
        return page is None or (page.hostname, _port(page, port)) != (
            own.hostname,
            _port(own, port),
        )


def _denied(message: str, code: str) -> AccessDenied:
    return AccessDenied(message, code=code, status=403)


def _shown(header: bytes) -> str:
    return repr(header.decode("latin-1"))[:80]


def _url(text: str) -> SplitResult | None:
    """Split a URL; None unless it has a host."""
    try:
        parts = urlsplit(text)
        return parts if parts.hostname else None
    except ValueError:
        return None


def _parts(host: str) -> SplitResult:
    return _url("//" + host) or SplitResult("", "", "", "", "")


def _port(parts: SplitResult, default: int) -> int:
    try:
        return parts.port or default
    except ValueError:
        return -1
