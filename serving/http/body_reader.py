"""The bodies of what people do, with the name that it is logged under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from starlette.requests import Request

from serving.http.bodies import read_body
from serving.http.callers import Callers
from serving.requests.wire import decode


class Signed(Protocol):
    """A body that may name its sender."""

    @property
    def who(self) -> str | None:
        """Return the name that came with it."""


B = TypeVar("B", bound=Signed)


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Read bodies.

    Parameters
    ----------
    callers : Callers
    limit : int
        Bytes of the largest body.
    """

    callers: Callers
    limit: int

    async def read(
        self, request: Request, kind: type[B], *, optional: bool = True
    ) -> tuple[B, str]:
        """Return the checked body, and who calls.

        Parameters
        ----------
        kind : type
            A Struct with the field ``who``.
        optional : bool
            Whether no body at all is an empty object.

        Raises
        ------
        InputError, TooLarge
        """
        content = await (self.content(request) if optional else read_body(request, self.limit))
        body = decode(kind, content)
        return body, self.callers.name(request, body.who)

    async def content(self, request: Request) -> bytes:
        """Return the body as it came; none at all is an empty object."""
        return await read_body(request, self.limit) or b"{}"
