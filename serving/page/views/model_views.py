"""Show the models: champion, challenger, what each can detect, training jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from db.queries.training_jobs import list_jobs
from errors import AnomalyError
from serving.bundles.catalogue import Catalogue
from serving.bundles.manager import BundleManager
from serving.http.model_handlers import Promotion
from serving.monitors import DriftMonitor
from serving.page.forms import Form
from serving.page.pages import Messages
from serving.page.views.screen import Screen
from serving.requests.wire import convert

JOBS: Final = 20  # newest training jobs listed
#: Maximum wait for the registry; MLflow takes seconds for its first answer.
PATIENCE_S: Final = 0.4


@dataclass(frozen=True, slots=True)
class ModelViews(Screen):
    """Show and promote models.

    Parameters
    ----------
    catalogue : Catalogue
    bundles : BundleManager
    drift : DriftMonitor
    """

    catalogue: Catalogue
    bundles: BundleManager
    drift: DriftMonitor

    async def act(self, request: Request) -> Response:
        """Promote a version, or roll back to the previous champion."""
        return await self.show(request, await self.forms.attempt(request, self._act))

    async def _act(self, form: Form) -> str:
        if form.text("do") == "roll_back":
            done = await self.catalogue.roll_back(form.text("champion"))
        else:
            body = convert(Promotion, {name: form.text(name) for name in ("version", "why")})
            why = f"{form.who}: {body.why or 'no reason given'}"
            done = await self.catalogue.promote(body.version, why)
        return f"Version {done['champion']} is champion, in place of {done['previous'] or 'none'}"

    async def show(self, request: Request, messages: Messages = ()) -> Response:
        """Show the models as far as registry and database answer."""
        found: dict[str, Any] = {"versions": [], "champion": None, "challenger": None}
        problems: dict[str, str] = {}
        jobs: Sequence[Any] = ()
        try:
            found = await self.catalogue.models(PATIENCE_S)
        except AnomalyError as error:
            problems["registry"] = error.message
        try:
            jobs = await self.database.run(list_jobs, JOBS)
        except AnomalyError as error:
            problems["jobs"] = error.message
        return await self.pages.show(
            request, "models.html", messages=messages, problems=problems, jobs=jobs,
            in_force=self.bundles.status(), drift=self.drift.known(self.bundles.bundle),
            sides=[found[name] for name in ("champion", "challenger")], versions=found["versions"],
            outdated=not self.catalogue.fresh,
        )  # fmt: skip
