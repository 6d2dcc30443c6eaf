"""What the screens with forms and figures of the database stand on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from errors import AnomalyError
from serving.database import Database
from serving.page.forms import FormReader
from serving.page.pages import Pages


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen, and what is done on it.

    Parameters
    ----------
    pages : Pages
    forms : FormReader
    database : Database
    """

    pages: Pages
    forms: FormReader
    database: Database

    async def content(
        self, look: Callable[..., dict[str, Any]], *given: object, without: dict[str, Any]
    ) -> tuple[dict[str, Any], int]:
        """Return what the database holds for the screen and 200; else ``without`` and the status.

        Parameters
        ----------
        look : callable(Connection, *given)
        without : dict
            What is shown where it cannot be read.
        """
        try:
            return await self.database.run(look, *given), 200
        except AnomalyError as error:
            return without, error.status
