"""Read submitted forms: limited in size, from a page shown to this visitor, with a name to log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from errors import AnomalyError, InputError
from serving.http.bodies import read_body
from serving.http.callers import Callers
from serving.page.pages import Pages, failed, message
from serving.page.sessions import Visitor, check_form
from serving.requests.incident_bodies import read_token

#: Maximum size of a form: 1,000 incidents and a note.
BODY_BYTES: Final = 256 * 1024
MAX_FIELDS: Final = 2000  # more than 1,000 incidents need


@dataclass(frozen=True, slots=True)
class Form:
    """A submitted form.

    Parameters
    ----------
    fields : mapping of str to list of str
    visitor : Visitor
    who : str
        The name under which the action is logged.
    """

    fields: dict[str, list[str]]
    visitor: Visitor
    who: str

    @property
    def once(self) -> str | None:
        """Return the form's own token: the form takes effect once, even if it is sent again."""
        return read_token(self.text("once"))

    def text(self, name: str) -> str | None:
        """Return a field's text, or None if it was left empty."""
        values = self.fields.get(name, [""])
        return values[-1].strip() or None

    def exact(self, name: str) -> str | None:
        """Return a value that the page itself offered, with blanks at its ends; None if empty."""
        return self.fields.get(name, [""])[-1] or None

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for value in self.fields.get(name, []) if value]


@dataclass(frozen=True, slots=True)
class FormReader:
    """Read forms.

    Parameters
    ----------
    pages : Pages
    callers : Callers
    """

    pages: Pages
    callers: Callers

    async def read(self, request: Request, *, named: bool = True) -> Form:
        """Read the form of a request.

        Parameters
        ----------
        named : bool
            Whether the form causes an action that is logged under a name.

        Raises
        ------
        InputError, AccessDenied, TooLarge
        """
        visitor = await self.pages.visitor(request)
        body = (await read_body(request, BODY_BYTES)).decode("utf-8", "replace")
        try:
            pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            raise InputError(f"the form has more than {MAX_FIELDS} fields") from None
        fields: dict[str, list[str]] = {}
        for name, value in pairs:
            if "\x00" in name + value:
                raise InputError(f"{name!r:.80}: holds a NUL", field=name[:64])
            fields.setdefault(name, []).append(value)
        form = Form(fields, visitor, "")
        check_form(visitor, form.text("form_token") or "")
        if not named:
            return form
        if visitor.name is None and visitor.given:
            raise InputError("give your name first, for the log", field="who")
        who = self.callers.name(request, visitor.name if visitor.given else None)
        return Form(fields, visitor, who)

    async def attempt(
        self, request: Request, act: Callable[[Form], Awaitable[str]]
    ) -> list[dict[str, str]]:
        """Run the form's action; return the messages about it."""
        form = await self.read(request)
        try:
            return [message("done", f"{await act(form)}, as {form.who}")]
        except AnomalyError as error:
            return [failed(error)]
