"""Models: what serves, what might, what each would see, what is being trained."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from db.queries.training_jobs import list_jobs
from errors import AnomalyError
from serving.bundles.catalogue import Catalogue
from serving.bundles.manager import BundleManager
from serving.database import Database
from serving.drift_monitor import DriftMonitor
from serving.http.model_handlers import Promotion
from serving.http.rest_app import Call
from serving.page.forms import Form, FormReader
from serving.page.pages import Pages
from serving.requests.wire import convert

JOBS: Final = 20
#: So long the screen waits for the registry; MLflow takes seconds when it is first asked.
PATIENCE_S: Final = 0.4


class ModelViews:
    """The screen.

    Parameters
    ----------
    pages : Pages
    forms : FormReader
    database : Database
    catalogue : Catalogue
    bundles : BundleManager
    drift : DriftMonitor
    """

    def __init__(
        self,
        pages: Pages,
        forms: FormReader,
        database: Database,
        catalogue: Catalogue,
        bundles: BundleManager,
        drift: DriftMonitor,
    ) -> None:
        self._pages = pages
        self._forms = forms
        self._database = database
        self._catalogue = catalogue
        self._bundles = bundles
        self._drift = drift

    async def show(self, request: Request) -> Response:
        """Show the models, as far as registry and database answer."""
        return await self._show(request, [])

    async def act(self, request: Request) -> Response:
        """Promote a version, or go back to the one before."""
        return await self._show(request, await self._forms.attempt(request, self._act))

    async def _act(self, form: Form) -> str:
        if form.text("do") == "roll_back":
            done = await self._catalogue.roll_back()
        else:
            body = convert(Promotion, {name: form.text(name) for name in ("version", "why")})
            why = f"{form.who}: {body.why or 'no reason given'}"
            done = await self._catalogue.promote(body.version, why)
        return f"Version {done['champion']} is champion, in place of {done['previous'] or 'none'}"

    async def _show(self, request: Request, messages: list[dict[str, str]]) -> Response:
        found: dict[str, Any] = {"versions": [], "champion": None, "challenger": None}
        problems: dict[str, str] = {}
        jobs: list[Any] = []
        try:
            found = await self._catalogue.models(PATIENCE_S)
        except AnomalyError as error:
            problems["registry"] = error.message
        try:
            jobs = await self._database.run(lambda connection: list_jobs(connection, JOBS))
        except AnomalyError as error:
            problems["jobs"] = error.message
        return await self._pages.show(
            request, "models.html", messages=messages, problems=problems, jobs=jobs,
            in_force=self._bundles.status(), drift=self._drift.known(self._bundles.bundle),
            sides=[found[name] for name in ("champion", "challenger")], versions=found["versions"],
        )  # fmt: skip


def model_pages(views: ModelViews) -> list[Call]:
    """Return the addresses."""
    return [
        Call("/models", "GET", "read", views.show),
        Call("/models", "POST", "train", views.act),
    ]
