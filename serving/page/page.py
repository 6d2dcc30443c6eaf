"""Put the page together: who is let in, the screens, their addresses."""

from __future__ import annotations

from serving.auth import Keys
from serving.bundles.manager import BundleManager
from serving.database import Database
from serving.http.callers import Callers
from serving.http.rest_app import Call
from serving.page.forms import FormReader
from serving.page.health_line import HealthLine
from serving.page.pages import PageGuard, Pages
from serving.page.sessions import Sessions
from serving.page.static_files import StaticFiles
from serving.page.views.incident_views import IncidentViews, incident_pages
from serving.page.views.session_views import SessionViews, session_pages


def build(
    keys: Keys,
    callers: Callers,
    database: Database,
    bundles: BundleManager,
    *,
    topic: str,
    max_shelve_s: float,
) -> tuple[list[Call], PageGuard]:
    """Return the page's addresses and what guards them.

    Parameters
    ----------
    keys, callers
        Who may do what, and under which name.
    database, bundles
        What is shown.
    topic, max_shelve_s
        As for the REST API's incidents.
    """
    static = StaticFiles()
    sessions = Sessions(keys, callers, database)
    pages = Pages(sessions, HealthLine(database, bundles), static)
    forms = FormReader(pages, callers)
    incidents = IncidentViews(pages, forms, database, topic=topic, max_shelve_s=max_shelve_s)
    calls = [
        *session_pages(SessionViews(pages, forms, sessions), static),
        *incident_pages(incidents),
    ]
    return calls, PageGuard(pages)
