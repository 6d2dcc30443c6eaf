"""Who calls: what is done to incidents and assets is logged under a name, never under none."""

from __future__ import annotations

import ipaddress
from typing import Any

from starlette.requests import Request

from errors import InputError, SettingsError
from schemas import MAX_NAME, check_name

ANONYMOUS = "anonymous"


class Callers:
    """Find out who calls.

    Parameters
    ----------
    header : str
        Where a trusted proxy names whom it has let in; empty: nowhere.
    proxies : list of networks
        Whose headers are believed; from anybody else they are passed over.
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
            An address cannot be read, or the header is to be believed from nobody.
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
        """Name who calls: as the trusted proxy does, else the key, else as they do themselves.

        Parameters
        ----------
        given : str, optional
            The name that came with the call; only an open service takes anybody's word.

        Raises
        ------
        InputError
            A name came with the call though another one is known.
        """
        known = self._named_by_proxy(request) or getattr(request.state, "key_name", None)
        if known is None:
            return ANONYMOUS if given is None else check_name(given.strip(), "who")
        if given is not None and given.strip() != known:
            raise InputError(
                f"who: this call is logged as {known!r}; leave {given!r:.80} out", field="who"
            )
        return str(known)

    def is_secure(self, request: Request) -> bool:
        """Return whether a request came over TLS, to the service or to a trusted proxy before it.

        Of several values of ``X-Forwarded-Proto`` the last is the nearest proxy's own.
        """
        scheme = request.url.scheme
        if self._trusts(request.scope.get("client")):
            forwarded = ",".join(request.headers.getlist("x-forwarded-proto"))
            scheme = forwarded.rpartition(",")[2].strip().lower() or scheme
        return scheme == "https"

    def _named_by_proxy(self, request: Request) -> str | None:
        if not self._header or not self._trusts(request.scope.get("client")):
            return None
        # proxies write UTF-8, which ASGI hands on byte by byte
        raw = request.headers.get(self._header, "").encode("latin-1")
        return raw.decode("utf-8", "replace").replace("\x00", "").strip()[:MAX_NAME] or None

    def _trusts(self, client: Any) -> bool:
        try:
            address = ipaddress.ip_address(client[0])
        except (TypeError, ValueError, IndexError):
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._proxies)
