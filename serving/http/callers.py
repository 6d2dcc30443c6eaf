"""Determine the caller's name, under which changes to incidents and assets are logged."""

from __future__ import annotations

import ipaddress
from typing import Any

from starlette.requests import Request

from db.incident_lifecycle import SYSTEM
from errors import InputError, SettingsError
from schemas import MAX_NAME, check_name

ANONYMOUS = "anonymous"


def check_person(name: str) -> str:
    """Return the name that a person gives, without blanks at its ends.

    Raises
    ------
    InputError
        It is invalid, or the one under which the log has what no person did: an incident that the
        system closed opens again by itself.
    """
    name = check_name(name.strip(), "who")
    if name.casefold() == SYSTEM:
        raise InputError(f"who: {name!r} is the name of the service itself", field="who")
    return name


class Callers:
    """Determine the caller's name.

    Parameters
    ----------
    header : str
        Header in which a trusted proxy sends the name of its user; empty: none.
    proxies : list of networks
        Proxies whose headers are trusted; the headers of others are ignored.
    """

    def __init__(
        self, header: str, proxies: list[ipaddress.IPv4Network | ipaddress.IPv6Network]
    ) -> None:
        self._header = header
        self._proxies = proxies

    @classmethod
    def parse(cls, header: str, proxies: str) -> Callers:
        """Read the settings ``PROXY_USER_HEADER`` and ``TRUSTED_PROXIES``.

        Raises
        ------
        SettingsError
            An address is invalid, or the header is set without trusted proxies.
        """
        networks = []
        for one in filter(None, (part.strip() for part in proxies.split(","))):
            try:
                networks.append(ipaddress.ip_network(one, strict=False))
            except ValueError as error:
                raise SettingsError(f"TRUSTED_PROXIES: {error}", field="TRUSTED_PROXIES") from None
        if header.strip() and not networks:
            raise SettingsError(
                "PROXY_USER_HEADER: needs TRUSTED_PROXIES", field="PROXY_USER_HEADER"
            )
        return cls(header.strip().lower(), networks)

    def name(self, request: Request, given: str | None = None) -> str:
        """Return the caller's name: from the trusted proxy, else of the key, else as given.

        Parameters
        ----------
        given : str, optional
            The name in the body; it is used only on a service without keys.

        Raises
        ------
        InputError
            A name was given although another one is known.
        """
        known = self._named_by_proxy(request) or getattr(request.state, "key_name", None)
        if known is None:
            return ANONYMOUS if given is None else check_person(given)
        if given is not None and given.strip() != known:
            raise InputError(
                f"who: this call is logged as {known!r}; omit {given!r:.80}", field="who"
            )
        return f"{known} (user)" if known.casefold() == SYSTEM else str(known)

    def is_secure(self, request: Request) -> bool:
        """Return whether a request came over TLS, to the service or to its trusted proxy.

        If ``X-Forwarded-Proto`` has several values, the last is that of the nearest proxy.
        """
        scheme = request.url.scheme
        if self._trusts(request.scope.get("client")):
            forwarded = ",".join(request.headers.getlist("x-forwarded-proto"))
            scheme = forwarded.rpartition(",")[2].strip().lower() or scheme
        return scheme == "https"

    def _named_by_proxy(self, request: Request) -> str | None:
        if not self._header or not self._trusts(request.scope.get("client")):
            return None
        # proxies send UTF-8, but ASGI decodes headers as latin-1
        raw = request.headers.get(self._header, "").encode("latin-1")
        return raw.decode("utf-8", "replace").replace("\x00", "").strip()[:MAX_NAME] or None

    def _trusts(self, client: Any) -> bool:
        try:
            address = ipaddress.ip_address(client[0])
        except (TypeError, ValueError, IndexError):
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._proxies)
