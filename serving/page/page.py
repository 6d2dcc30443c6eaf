"""Put the page together: who is let in, the screens, their addresses."""

from __future__ import annotations

from dataclasses import dataclass

from config import Settings
from db.queries.alarm_load import Chatter
from serving.auth import Keys
from serving.bundles.catalogue import Catalogue
from serving.bundles.manager import BundleManager
from serving.database import Database
from serving.drift_monitor import DriftMonitor
from serving.http.callers import Callers
from serving.http.feedback_handlers import Effects
from serving.http.rest_app import Call
from serving.page.forms import FormReader
from serving.page.health_line import HealthLine
from serving.page.pages import PageGuard, Pages
from serving.page.sessions import Sessions
from serving.page.static_files import StaticFiles
from serving.page.views.asset_views import AssetViews, asset_pages
from serving.page.views.fleet_views import FleetViews, fleet_pages
from serving.page.views.incident_views import IncidentViews, incident_pages
from serving.page.views.kpi_views import KpiViews, kpi_pages
from serving.page.views.maintenance_views import MaintenanceViews, maintenance_pages
from serving.page.views.model_views import ModelViews, model_pages
from serving.page.views.plant_views import PlantViews, plant_pages
from serving.page.views.session_views import SessionViews, session_pages
from serving.swim_lanes import SwimLanes


@dataclass(frozen=True, slots=True)
class Parts:
    """What is shown, and done: the same parts that the REST API stands on."""

    database: Database
    bundles: BundleManager
    catalogue: Catalogue
    lanes: SwimLanes
    drift: DriftMonitor
    chatter: Chatter
    effects: Effects


def build(
    keys: Keys, callers: Callers, parts: Parts, settings: Settings
) -> tuple[list[Call], PageGuard]:
    """Return the page's addresses and what guards them.

    Parameters
    ----------
    keys, callers
        Who may do what, and under which name.
    parts : Parts
    settings : Settings
    """
    static = StaticFiles()
    database = parts.database
    sessions = Sessions(keys, callers, database)
    pages = Pages(sessions, HealthLine(database, parts.bundles), static)
    forms = FormReader(pages, callers)
    incidents = IncidentViews(
        pages, forms, database, parts.effects,
        topic=settings.kafka_topic_incidents, max_shelve_s=settings.max_shelve_s,
    )  # fmt: skip
    models = ModelViews(pages, forms, database, parts.catalogue, parts.bundles, parts.drift)
    kpis = KpiViews(pages, database, settings.operator_positions, parts.chatter)
    calls = [
        *session_pages(SessionViews(pages, forms, sessions), static),
        *incident_pages(incidents),
        *fleet_pages(FleetViews(pages, parts.lanes)),
        *asset_pages(AssetViews(pages, forms, database)),
        *maintenance_pages(MaintenanceViews(pages, forms, database)),
        *plant_pages(PlantViews(pages, forms, database)),
        *kpi_pages(kpis),
        *model_pages(models),
    ]
    return calls, PageGuard(pages)
