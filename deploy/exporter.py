"""Export metrics of the whole plant to Prometheus: ``python -m deploy.exporter``.

Exports the champion's age, the drift of features since training, alarm rates with the budget of
each criticality, and streams that have stopped sending. One process suffices; it updates every five
minutes and stores nothing. A failed update keeps the previous values and is counted.
"""

from __future__ import annotations

import heapq
import logging
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import Connection, Engine

from config import Settings, load_settings
from db.alarm_kpis import alarm_kpis
from db.queries.feedback import precision_by_group
from db.queries.incidents import IncidentFilter, incident_counts
from db.queries.notifications import waiting
from db.queries.reporting import recent_alarms, recent_openings, silent_streams, table_sizes
from db.session import database_now, in_transaction, opened, transaction
from runtime import (
    at_least,
    command_parser,
    report_errors,
    run_command,
    serve_metrics,
    tls_context,
)
from schemas import API_PREFIX, SEVERITIES

log = logging.getLogger("exporter")

Look = Callable[[], None]
Series = dict[tuple[str, ...], float]  # values of a gauge, by its labels
#: Groups of metrics: model of the service, the others of the database.
WHAT = ("alarms", "streams", "incidents", "kpis", "feedback", "store", "model")
#: The alarm KPIs cover this many days.
KPI_DAYS = 7
#: Maximum series of ``model_drift_psi``, for the largest indices: thousands of groups have a
#: hundred thousand features. ``model_features_shifted`` counts all of them.
PSI_SERIES = 500


def _replace(gauge: Gauge, values: Series) -> None:
    """Set the series of a gauge by their labels, then remove those that are gone.

    A scrape meanwhile must find each that stays: an alert whose series is missing is resolved.
    """
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    for family in gauge.collect():
        for sample in family.samples:
            labels = tuple(sample.labels.values())
            if labels not in values:
                gauge.remove(*labels)


class Plant:
    """Hold the gauges and update them from injected sources."""

    def __init__(self, budgets: Mapping[str, float]) -> None:
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        self.budgets = dict(budgets)
        self.readings = gauge("plant_readings", "readings of the last hour", ["asset_criticality"])
        self.anomalies = gauge("plant_anomalies", "alarms of the last hour", ["asset_criticality"])
        self.budget = gauge("plant_alarm_budget", "false alarms a reading", ["asset_criticality"])
        self.silent = gauge("plant_streams_silent", "streams that have stopped sending")
        self.incidents = gauge("plant_incidents", "incidents that are not closed", ["state"])
        self.opened = gauge(
            "plant_incidents_opened", "incidents opened in the last hour", ["severity"]
        )
        self.undelivered = gauge(
            "plant_notifications_oldest_seconds", "age of what waits to be sent", ["receiver"]
        )
        self.kpi = gauge("plant_alarm_kpi", "a figure of the last seven days", ["figure"])
        self.kpi_limit = gauge("plant_alarm_kpi_limit", "what it may be", ["figure", "limit"])
        self.judged = gauge("plant_incidents_judged", "incidents of 90 days", ["group", "verdict"])
        self.precision = gauge(
            "plant_incident_precision", "share of them that was right", ["group"]
        )
        self.trained = gauge(
            "model_trained_timestamp_seconds", "when the champion was trained", ["group"]
        )
        self.psi = gauge(
            "model_drift_psi", "stability index of a feature or score", ["group", "feature"]
        )
        self.shifted = gauge(
            "model_features_shifted", "features and scores whose index is above 0.25", ["group"]
        )
        self.rows = gauge("store_rows", "rows of a table, estimated", ["table"])
        self.bytes = gauge("store_bytes", "size of a table with its indices", ["table"])
        self.failures = Counter(
            "exporter_failures", "looks that failed", ["what"], registry=self.registry
        )
        self.looked = gauge("exporter_looked_timestamp_seconds", "last look; 0: none", ["what"])
        for what in WHAT:  # create all series at start: a look that never succeeds is seen, too
            self.failures.labels(what)
            self.looked.labels(what)

    def kpis(self, figures: Mapping[str, Mapping[str, Any]]) -> None:
        """Set the alarm KPIs and their limits; a share without alarms has no series."""
        for name, figure in figures.items():
            for limit in ("acceptable", "maximum"):
                self.kpi_limit.labels(name, limit).set(figure[limit])
        values = {(name,): figure["value"] for name, figure in figures.items()}
        _replace(self.kpi, {name: value for name, value in values.items() if value is not None})

    def feedback(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Set ``{group: (confirmed, false alarms)}``, from feedback about incidents."""
        judged: Series = {}
        for group, (confirmed, false) in counts.items():
            judged |= {(group, "confirmed"): confirmed, (group, "false_alarm"): false}
        _replace(self.judged, judged)
        shares = ((group, right / (right + wrong)) for group, (right, wrong) in counts.items())
        _replace(self.precision, {(group,): share for group, share in shares})

    def alarms(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Set ``{criticality: (readings, anomalies)}``; every criticality has a series."""
        for criticality, budget in self.budgets.items():
            readings, anomalies = counts.get(criticality, (0, 0))
            self.readings.labels(criticality).set(readings)
            self.anomalies.labels(criticality).set(anomalies)
            self.budget.labels(criticality).set(budget)

    def store(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Set ``{table: (rows, bytes)}`` of the growing tables."""
        for table, (rows, size) in sizes.items():
            self.rows.labels(table).set(rows)
            self.bytes.labels(table).set(size)

    def model(self, status: Mapping[str, Any]) -> None:
        """Set the values of ``/status``; the oldest detector of each group counts."""
        trained: Series = {}
        for group, models in (status.get("groups") or {"default": status["models"]}).items():
            times = [m["trained_at"] for m in models.values() if m.get("trained_at")]
            if times:
                oldest = min(datetime.fromisoformat(time) for time in times)
                trained[group,] = oldest.timestamp()
        _replace(self.trained, trained)
        if status.get("drift"):  # missing in a replica's first answer
            self._drift(status["drift"])

    def _drift(self, groups: Mapping[str, Mapping[str, Any]]) -> None:
        found = heapq.nlargest(
            PSI_SERIES,
            (
                (about["psi"], group, feature)
                for group, features in groups.items()
                for feature, about in features.items()
            ),
        )
        _replace(self.psi, {(group, feature): psi for psi, group, feature in found})
        shifted: Series = {
            (group,): sum(about["state"] == "shifted" for about in features.values())
            for group, features in groups.items()
        }
        _replace(self.shifted, shifted)

    def look(self, what: str, look: Look) -> bool:
        """Update one group of metrics; a failure is logged and counted, never raised."""
        try:
            look()
        except Exception as error:  # any failure: the other groups are still updated
            self.failures.labels(what).inc()
            log.warning("%s: %s", what, str(error) or type(error).__name__)
            return False
        self.looked.labels(what).set_to_current_time()
        return True


def look_at_incidents(plant: Plant, engine: Engine) -> None:
    """Query open incidents, those opened in the last hour, and the receivers' waiting times."""
    with transaction(engine) as connection:
        states, _ = incident_counts(connection, IncidentFilter())
        opened = recent_openings(connection)
        receivers = waiting(connection)
    for state in states.keys() - {"closed"}:
        plant.incidents.labels(state).set(states[state])
    for severity in SEVERITIES:
        plant.opened.labels(severity).set(opened.get(severity, 0))
    plant.undelivered.clear()
    for receiver, about in receivers.items():
        plant.undelivered.labels(receiver).set(about.oldest_s)


def stored_kpis(connection: Connection, settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the figures of the last seven days."""
    end = database_now(connection)
    found = alarm_kpis(connection, end - timedelta(days=KPI_DAYS), end, settings)
    figures: dict[str, dict[str, Any]] = found["figures"]
    return figures


def service_status(settings: Settings) -> dict[str, Any]:
    """Request ``/status`` of the service directly: an internet proxy must not be used for it."""
    key = settings.service_api_key
    answer = httpx.get(
        f"{settings.service_url}{API_PREFIX}/status",
        headers={"X-API-Key": key.get_secret_value()} if key else {},
        timeout=30,
        verify=tls_context(settings.service_cafile, "SERVICE_CAFILE"),
        trust_env=False,
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def looks(plant: Plant, settings: Settings, engine: Engine) -> dict[str, Look]:
    """Return the sources of the metrics, by their group.

    Parameters
    ----------
    plant
        Gets the values.
    settings
        Address of the service, and definition of the KPIs.
    engine
        The database.
    """
    silent_s = settings.bridge_silent_s
    return {
        "alarms": lambda: plant.alarms(in_transaction(engine, recent_alarms)),
        "streams": lambda: plant.silent.set(in_transaction(engine, silent_streams, silent_s)),
        "incidents": lambda: look_at_incidents(plant, engine),
        "kpis": lambda: plant.kpis(in_transaction(engine, stored_kpis, settings)),
        "feedback": lambda: plant.feedback(in_transaction(engine, precision_by_group)),
        "store": lambda: plant.store(in_transaction(engine, table_sizes)),
        "model": lambda: plant.model(service_status(settings)),
    }


@report_errors
def main(argv: list[str] | None = None) -> int:
    """Run the exporter; return the exit code."""
    parser = command_parser("deploy.exporter", __doc__)
    parser.add_argument("--port", type=int, default=9109, help="Prometheus endpoint (9109)")
    parser.add_argument(
        "--every", type=at_least(1), default=300, help="seconds between updates (300)"
    )
    args = parser.parse_args(argv)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = load_settings()
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s %(message)s")
    plant = Plant(settings.budgets())
    with opened(settings) as engine:
        server, thread = serve_metrics(args.port, plant.registry, "--port")
        try:
            while True:
                for what, look in looks(plant, settings, engine).items():
                    plant.look(what, look)
                if stop.wait(args.every):
                    return 0
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    run_command(main)
