"""Assemble the page: access guard, screens and their addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.auth import Keys
from serving.http.callers import Callers
from serving.http.rest_app import Call
from serving.page.forms import FormReader
from serving.page.health_line import HealthLine
from serving.page.pages import Pages
from serving.page.sessions import Sessions
from serving.page.static_files import StaticFiles
from serving.page.views.asset_views import AssetViews
from serving.page.views.incident_views import IncidentViews
from serving.page.views.maintenance_views import MaintenanceViews
from serving.page.views.model_views import ModelViews
from serving.page.views.overview_views import OverviewViews
from serving.page.views.plant_views import PlantViews
from serving.page.views.session_views import SessionViews

if TYPE_CHECKING:
    from serving.app import App


def build(app: App, keys: Keys, callers: Callers) -> tuple[list[Call], Pages]:
    """Return the page's calls and their guard.

    Parameters
    ----------
    app : App
        Its parts provide the data and actions; the REST API uses the same parts.
    keys, callers
        Determine roles and names of the users.
    """
    static = StaticFiles()
    database, bundles, settings = app.database, app.detection.bundles, app.settings
    sessions = Sessions(keys, callers, database)
    pages = Pages(sessions, HealthLine(database, bundles), static)
    forms = FormReader(pages, callers)
    stands_on = pages, forms, database
    session = SessionViews(pages, forms, sessions)
    incidents = IncidentViews(*stands_on, settings)
    asset, maintenance = AssetViews(*stands_on), MaintenanceViews(*stands_on, bundles)
    plant = PlantViews(*stands_on, bundles)
    overview = OverviewViews(*stands_on, app.lanes, settings)
    models = ModelViews(*stands_on, app.catalogue, bundles, app.drift)
    calls = [
        Call("/login", "GET", None, session.ask),
        Call("/login", "POST", None, session.log_in),
        Call("/logout", "POST", None, session.log_out),
        Call("/working", "GET", None, session.health),
        Call("/static/{version}/{name:name}", "GET", None, static.serve),
        Call("/", "GET", "read", incidents.list_all),
        Call("/", "POST", "operate", incidents.act_on_many),
        Call("/incidents.csv", "GET", "read", incidents.spreadsheet),
        Call("/incidents/{id}", "GET", "read", incidents.show),
        Call("/incidents/{id}", "POST", "operate", incidents.act_on_one),
        Call("/fleet", "GET", "read", overview.fleet),
        Call("/assets", "GET", "read", asset.show),
        Call("/assets", "POST", "operate", asset.act),
        Call("/assets/{id:name}", "GET", "read", asset.show),
        Call("/assets/{id:name}", "POST", "operate", asset.act),
        Call("/maintenance", "GET", "read", maintenance.show),
        Call("/maintenance", "POST", "operate", maintenance.act),
        Call("/plant", "GET", "read", plant.show),
        Call("/plant", "POST", "operate", plant.act),
        Call("/kpis", "GET", "read", overview.kpis),
        Call("/models", "GET", "read", models.show),
        Call("/models", "POST", "train", models.act),
    ]
    return calls, pages
