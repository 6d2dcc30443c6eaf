"""Read the bodies of people's actions, together with the name to log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from starlette.requests import Request

from serving.http.bodies import read_body
from serving.http.callers import Callers
from serving.requests.wire import decode


class Signed(Protocol):
    """A body that may contain its sender's name."""

    @property
    def who(self) -> str | None:
        """Return the name in the body."""


B = TypeVar("B", bound=Signed)


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Read bodies.

    Parameters
    ----------
    callers : Callers
    limit : int
        Maximum size of a body in bytes.
    """

    callers: Callers
    limit: int

    async def read(
        self, request: Request, kind: type[B], *, optional: bool = True
    ) -> tuple[B, str]:
        """Return the validated body and the caller's name.

        Parameters
        ----------
        kind : type
            A Struct with the field ``who``.
        optional : bool
            Whether a missing body counts as an empty object.

        Raises
        ------
        InputError, TooLarge
        """
        content = await (self.content(request) if optional else read_body(request, self.limit))
        body = decode(kind, content)
        return body, self.callers.name(request, body.who)

    async def content(self, request: Request) -> bytes:
        """Return the raw body; a missing one becomes an empty object."""
        return await read_body(request, self.limit) or b"{}"
