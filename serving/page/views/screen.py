"""Base of screens with forms and data from the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from errors import AnomalyError
from models.scoring.maintenance.maintenance_window import matches
from serving.bundles.manager import BundleManager
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


@dataclass(frozen=True, slots=True)
class GroupScreen(Screen):
    """A screen whose entries name groups of the model in use.

    Parameters
    ----------
    bundles : BundleManager
    """

    bundles: BundleManager

    def unknown(self, patterns: Iterable[str | None]) -> set[str]:
        """Return the patterns that match no group of the model in use; none without a model.

        They have no effect: a name was misspelt, or a new champion has other groups.
        """
        bundle = self.bundles.bundle
        groups = bundle.groups if bundle else []
        return {
            one for one in patterns
            if groups and one is not None and not any(matches(one, name) for name in groups)
        }  # fmt: skip
