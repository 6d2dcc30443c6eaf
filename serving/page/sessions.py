"""Who looks at the page: a cookie signed with a key from the database, and forms bound to it.

With ``API_KEYS`` the cookie stands for one of them and is worth nothing once that key is taken out.
On an open service it carries the name that was given, once, for the log.
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
from schemas import check_name
from serving.auth import ROLES, Keys, Role
from serving.database import Database
from serving.http.callers import ANONYMOUS, Callers

COOKIE = "page_session"
#: 90 days; a shared screen in a control room is not logged in every shift.
MAX_AGE_S = 90 * 86_400


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at the page.

    Parameters
    ----------
    name : str, optional
        Under which changes are logged; None: not given yet.
    given : bool
        Whether the name is the visitor's own word, so that it may be changed.
    role : Role, optional
        None: not logged in.
    cookie : str, optional
        To be kept in the browser; None: nothing can be signed, the database is down.
    form_token : str
        What a form must send back.
    """

    name: str | None
    given: bool
    role: Role | None
    cookie: str | None
    form_token: str

    def may(self, role: Role) -> bool:
        """Return whether the visitor has this role."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)

    def acts(self, role: Role = "operate") -> bool:
        """Return whether the visitor has this role and a name to be logged under."""
        return self.may(role) and not (self.given and self.name is None)


class Sessions:
    """Recognise visitors.

    Parameters
    ----------
    keys : Keys
        Configured API keys; none: everybody may do everything.
    callers : Callers
        Whom a trusted proxy names.
    database : Database
        Holds the key that signs.
    """

    def __init__(self, keys: Keys, callers: Callers, database: Database) -> None:
        self._keys = keys
        self._callers = callers
        self._database = database
        self._secret: bytes | None = None

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return not self._keys

    async def visitor(self, request: Request) -> Visitor:
        """Read who asks; without a database that has signed anything, nobody in particular."""
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
        """Return the cookie that stands for an API key.

        Raises
        ------
        AccessDenied
            No such key.
        StorageUnavailable
        """
        held = self._keys.find(key.strip())
        if held is None:
            raise AccessDenied("this is not an access key of this service", code="unknown_key")
        return self._dump(await self._signer(), {**self._fresh(), "mark": held.mark})

    async def renamed(self, request: Request, name: str) -> Visitor:
        """Return the visitor under the name that was given, where it is theirs to give.

        Raises
        ------
        InputError
            It cannot be a name.
        StorageUnavailable
        """
        content = {**self._fresh(), "name": check_name(name.strip(), "who")}
        return self._recognise(request, await self._signer(), content, "")

    def keep(self, response: Response, request: Request, cookie: str | None) -> None:
        """Have the browser keep the cookie, out of reach of scripts and other sites; "": none.

        Parameters
        ----------
        response : Response
            That sets it.
        request : Request
            In which the browser sent what it has.
        cookie : str or None
            Empty: none from now on; None: as it is.
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
    """Raise unless a form came from a page that this visitor was shown.

    Raises
    ------
    AccessDenied
        403, ``stale_form``.
    """
    if not visitor.form_token or not hmac.compare_digest(
        visitor.form_token.encode(), token.encode()
    ):
        raise AccessDenied(
            "this form is from another visit, or the browser keeps no cookies: load the page again",
            code="stale_form",
            status=403,
        )
