"""What the screens with forms and figures of the database stand on."""

from __future__ import annotations

from dataclasses import dataclass

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
