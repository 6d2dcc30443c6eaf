"""Define the service's metrics.

Under ``bentoml serve`` the values of all worker processes add up, because BentoML sets
``PROMETHEUS_MULTIPROC_DIR`` before this module is imported.

Label values come from small fixed sets: a path with an id in it never becomes a label.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.multiprocess import mark_process_dead

BATCH = Histogram(
    "anomaly_batch_size",
    "Weight of one batch: readings scored together, look-ups or rows stored together",
    ["stage"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
)
REQUESTS = Counter(
    "anomaly_http_requests", "Answered requests of the REST API", ["route", "method", "status"]
)
SECONDS = Histogram(
    "anomaly_http_seconds",
    "Seconds from a request's head to its answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 300),
)
READINGS = Counter("anomaly_readings", "Readings answered", ["outcome"])
PERSISTENT = Counter("anomaly_persistent_events", "Persistent events, by change", ["change"])
IN_FLIGHT = Gauge(
    "anomaly_requests_in_hand", "Requests being answered now", multiprocess_mode="livesum"
)
DEGRADED = Counter("anomaly_degraded", "Answers given without the database", ["what"])
READY = Gauge("anomaly_bundle_ready", "Workers with a bundle loaded", multiprocess_mode="livesum")
FILES = Gauge(
    "anomaly_files_bytes",
    "Size of what the service keeps under VAR_DIR",
    ["what"],
    multiprocess_mode="mostrecent",
)
INCIDENTS = Counter(
    "anomaly_incidents_timed", "Timed changes of incidents: clear, unshelve, close", ["what"]
)
PLANS_REFUSED = Gauge(
    "anomaly_plans_refused",
    "Invalid stored windows and off conditions, ignored",
    multiprocess_mode="livemax",
)
RETRIES = Counter("anomaly_runner_retries", "Retried calls of a runner", ["detector"])

# Create all series at start: Prometheus sees no increase in the first value of a new series.
for _what in ("look_up", "journal"):
    DEGRADED.labels(_what)
for _what in ("cleared", "unshelved", "closed"):
    INCIDENTS.labels(_what)
for _what in ("settled", "ended"):
    PERSISTENT.labels(_what)


def forget_dead_workers() -> None:
    """Remove what workers that were killed last said of themselves; what they counted stays."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    files = Path(folder).glob("gauge_live*_*.db") if folder else ()
    for process in {int(file.stem.rpartition("_")[2]) for file in files}:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker that starts was faster
                mark_process_dead(process, folder)  # type: ignore[no-untyped-call]
        except PermissionError:
            pass  # it lives
