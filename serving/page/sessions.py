"""Identify the page's users by a signed cookie, and bind forms to it.

With ``API_KEYS`` the cookie refers to one of the keys and becomes invalid when that key is removed.
Without keys it contains the name that the user gave for the log. The database holds the signing
key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from db.queries.overview import page_key
from errors import AccessDenied, StorageUnavailable
from serving.auth import ROLES, Keys, Role
from serving.database import Database
from serving.http.callers import ANONYMOUS, Callers, check_person

COOKIE = "page_session"
#: 90 days, so that a shared screen in a control room need not log in every shift.
MAX_AGE_S = 90 * 86_400


@dataclass(frozen=True, slots=True)
class Visitor:
    """A user of the page.

    Parameters
    ----------
    name : str, optional
        Name for the log; None: not given yet.
    given : bool
        Whether users chose the name themselves, so that they can change it.
    role : Role, optional
        None: not logged in.
    cookie : str, optional
        For the browser; None: it cannot be signed because the database is down.
    form_token : str
        Token that every form must send back.
    """

    name: str | None
    given: bool
    role: Role | None
    cookie: str | None
    form_token: str

    def may(self, role: Role) -> bool:
        """Return whether the user has this role."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)

    def acts(self, role: Role = "operate") -> bool:
        """Return whether the user has this role and a name for the log."""
        return self.may(role) and not (self.given and self.name is None)


class Sessions:
    """Identify users.

    Parameters
    ----------
    keys : Keys
        Configured API keys; none: everybody may do everything.
    callers : Callers
        Users named by a trusted proxy.
    database : Database
        Holds the signing key.
    """

    def __init__(self, keys: Keys, callers: Callers, database: Database) -> None:
        self._keys = keys
        self._callers = callers
        self._database = database
        self._secret: bytes | None = None

    @property
    def open(self) -> bool:
        """Whether the service has no keys."""
        return not self._keys

    async def visitor(self, request: Request) -> Visitor:
        """Return the user; anonymous if the database has never provided the signing key."""
        try:
            signer = await self._signer()
        except StorageUnavailable:
            return Visitor(None, False, "train" if self.open else None, None, "")
        cookie = request.cookies.get(COOKIE, "")
        try:
            content = signer.loads(cookie)
        except BadSignature:
            content = None
        if not isinstance(content, dict) or content.get("open") is not self.open:
            content, cookie = self._fresh(), ""
        return self._recognise(request, signer, content, cookie)

    async def log_in(self, key: str) -> str:
        """Return the cookie for an API key.

        Raises
        ------
        AccessDenied
            The key is unknown.
        StorageUnavailable
        """
        held = self._keys.find(key.strip())
        if held is None:
            raise AccessDenied("this is not an access key of this service", code="unknown_key")
        return self._dump(await self._signer(), {**self._fresh(), "mark": held.mark})

    async def renamed(self, request: Request, name: str) -> Visitor:
        """Return the user with the given name, if users choose their names themselves.

        Raises
        ------
        InputError
            The name is invalid.
        StorageUnavailable
        """
        content = {**self._fresh(), "name": check_person(name)}
        return self._recognise(request, await self._signer(), content, "")

    def keep(self, response: Response, request: Request, cookie: str | None) -> None:
        """Set the session cookie, inaccessible to scripts and other sites.

        Parameters
        ----------
        response : Response
            The response that sets it.
        request : Request
            The request, with the browser's present cookie.
        cookie : str or None
            Empty: delete the cookie; None: leave it unchanged.
        """
        if cookie is None or cookie == request.cookies.get(COOKIE):
            return
        response.set_cookie(
            COOKIE, cookie, max_age=MAX_AGE_S if cookie else 0, path="/", httponly=True,
            samesite="strict", secure=self._callers.is_secure(request),
        )  # fmt: skip

    def _recognise(
        self, request: Request, signer: URLSafeSerializer, content: dict[str, Any], cookie: str
    ) -> Visitor:
        role: Role | None = "train"
        name = content.get("name")
        if not self.open:
            held = self._keys.marked(str(content.get("mark", "")))
            name, role = (held.name, held.role) if held else (None, None)
            request.state.key_name = name
        called = self._callers.name(request)
        if called != ANONYMOUS:
            name = called
        cookie = cookie or self._dump(signer, content)
        assert self._secret is not None  # noqa: S101 (it signed)
        token = hmac.new(self._secret, b"form" + cookie.encode(), hashlib.sha256).hexdigest()
        return Visitor(name, self.open and called == ANONYMOUS, role, cookie, token)

    def _fresh(self) -> dict[str, Any]:
        return {"open": self.open, "nonce": secrets.token_hex(8)}

    @staticmethod
    def _dump(signer: URLSafeSerializer, content: dict[str, Any]) -> str:
        cookie = signer.dumps(content)
        return cookie if isinstance(cookie, str) else cookie.decode()

    async def _signer(self) -> URLSafeSerializer:
        if self._secret is None:
            self._secret = await self._database.run(page_key)
        return URLSafeSerializer(
            self._secret, salt="page", signer_kwargs={"digest_method": hashlib.sha256}
        )


def check_form(visitor: Visitor, token: str) -> None:
    """Raise unless the form belongs to a page that was shown to this user.

    Raises
    ------
    AccessDenied
        403, ``stale_form``.
    """
    if not visitor.form_token or not hmac.compare_digest(
        visitor.form_token.encode(), token.encode()
    ):
        raise AccessDenied(
            "this form belongs to another session, or the browser blocks cookies: reload the page",
            code="stale_form",
            status=403,
        )
