"""Base of screens with forms and data from the database."""

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
    """A screen with its data and actions.

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
        """Return the screen's data and 200, or ``without`` and the error's status.

        Parameters
        ----------
        look : callable(Connection, *given)
        without : dict
            Shown instead if the database cannot be read.
        """
        try:
            return await self.database.run(look, *given), 200
        except AnomalyError as error:
            return without, error.status
