"""Score one stream's readings in a Spark worker, batch by batch, by the service's pure function.

Between batches a stream keeps only its state and window, as in the bridge, so a stream of any
length needs constant memory. Errors do not affect other readings or streams: an invalid reading
gets an error entry, as in the service; a failed stream's readings get errors from there on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

import orjson
import pyarrow as pa

from errors import AnomalyError, InputError
from fleet.frames import KEYS, Form
from fleet.reading_batches import Point, points_of
from fleet.spark import arrow, ddl
from fleet.spark_worker import shipped
from models.detectors.base import MODEL_NAMES
from models.scoring.decision import error_entry
from models.scoring.ensemble import score
from models.scoring.maintenance.suppression import Suppression
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import CHUNK, carried
from models.scoring.stream_work import Reading, StreamWork
from schemas import check_name

#: Columns of scored readings, in order.
READING: Final = {
    "asset_id": "string", "sensor_id": "string", "feature": "string", "timestamp": "timestamp",
    "final_score": "double", "log10_p": "double", "threshold": "double", "is_anomaly": "boolean",
    "criticality": "string", **dict.fromkeys(MODEL_NAMES, "double"), "event_id": "string",
    "incident": "string", "suppressed": "string", "metadata": "string", "bundle_version": "string",
    "error_code": "string", "error": "string",
}  # fmt: skip
#: Columns of a task's result: scored readings with their day, and one row with the final state.
COLUMNS: Final = {"day": "date", **READING, "state": "string"}
SCHEMA: Final = ddl(COLUMNS)
_ARROW: Final = arrow(COLUMNS)
_JUDGED: Final = ("final_score", "log10_p", "threshold", "is_anomaly", "criticality")
#: Columns that are not set in every row.
_SPARSE: Final = (*MODEL_NAMES, "event_id", "incident", "suppressed", "error_code", "error")


@dataclass(frozen=True, slots=True)
class Plan:
    """The data that every worker needs.

    Parameters
    ----------
    bundle : name under which the bundle was sent; ``version`` is the registry's.
    criticality : by asset; ``usual`` is that of the others.
    suppression : maintenance windows and machine-off conditions.
    resets : by (asset, sensor or None): time and number of each reset, ascending.
    """

    bundle: str
    version: str
    form: Form
    policy: ScoringPolicy
    usual: str = "medium"
    criticality: Mapping[str, str] = field(default_factory=dict)
    suppression: Suppression = field(default_factory=Suppression)
    resets: Mapping[tuple[str, str | None], Sequence[tuple[datetime, int]]] = field(
        default_factory=dict
    )


def score_stream(
    plan: Plan, key: tuple[Any, ...], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows (COLUMNS) of one stream, whose batches come in time order.

    Parameters
    ----------
    key : asset_id, sensor_id, feature; absent parts are ''.
    """
    run = _Run(plan, *(part or "" for part in key))
    for points in _chunks(run, points_of(plan.form, batches, run.name, run.begin)):
        yield run.take(points)
    yield from run.finish()


def _chunks(run: _Run, points: Iterable[Point]) -> Iterator[list[Point]]:
    """Yield chunks of readings as the service would get them, split where a reset is due."""
    if not run.resets:
        rest = iter(points)
        while waiting := list(islice(rest, CHUNK)):
            yield waiting
        return
    waiting = []
    for point in points:
        if waiting and (len(waiting) >= CHUNK or run.reset_at(point[0]) != run.reset):
            yield waiting
            waiting = []
        run.reset = run.reset_at(point[0])
        waiting.append(point)
    if waiting:
        yield waiting


class _Run:
    """The scoring of one stream in a task."""

    def __init__(self, plan: Plan, asset: str, sensor: str, feature: str) -> None:
        self.name = " / ".join(part for part in (asset, sensor, feature) if part) or "''"
        self.reset = 0
        self._plan = plan
        self._stream = (asset, sensor or None, feature or None)
        self._state: dict[str, Any] | None = None
        self._window: list[Reading] = []
        self._before: str | None = None  # the state at the start
        self._failed: AnomalyError | None = None
        resets = [
            *plan.resets.get((asset, None), ()),
            *plan.resets.get((asset, sensor or None), ()),
        ]
        self.resets = sorted(set(resets))
        bundle = shipped(plan.bundle, plan.version)
        self._version = bundle.version
        try:
            check_name(asset, "asset_id")
            self._set = bundle.model_set(bundle.group_for(*self._stream))
        except AnomalyError as error:
            self._failed = error

    def begin(self, states: list[str]) -> None:
        """Continue from the state of an earlier run."""
        self._before = states[0]
        if len(states) > 1:
            self._failed = InputError(f"{len(states)} states of {self.name}", code="bad_state")
            return
        try:
            held = orjson.loads(states[0])
            window = [Reading(datetime.fromisoformat(at), f) for at, f in held["window"]]
            self._state, self._window = held["state"], window
        except (LookupError, TypeError, ValueError) as error:
            self._failed = InputError(
                f"the state of {self.name} cannot be read: {error!r:.200}", code="bad_state"
            )

    def reset_at(self, at: datetime | None) -> int:
        """Return the number of the newest reset before a reading at ``at``."""
        if at is None:
            return self.reset
        index = bisect_right(self.resets, at, key=lambda one: one[0])
        return max((number for _, number in self.resets[:index]), default=0)

    def take(self, points: Sequence[Point]) -> pa.RecordBatch:
        """Score the next readings; return their rows."""
        good = [Reading(at, f) for at, f in points if at is not None and isinstance(f, dict)]
        results = self._scored(good)
        if len(good) < len(points):
            scored = iter(results)
            results = [_refused(at, features) or next(scored) for at, features in points]
        return self._noted([at for at, _ in points], results)

    def _scored(self, good: list[Reading]) -> list[dict[str, Any]]:
        if self._failed is None and good:
            asset, sensor, feature = self._stream
            plan = self._plan
            work = StreamWork(
                asset, sensor, feature, plan.criticality.get(asset, plan.usual),
                self._state, self._window, good, reset=self.reset,
                maintenance=plan.suppression.windows,
                off_conditions=plan.suppression.conditions,
            )  # fmt: skip
            try:
                (outcome,) = score(self._set, [work], plan.policy)
            except AnomalyError as error:
                self._failed = error
            except Exception as error:  # any error concerns only this stream
                self._failed = AnomalyError(f"scoring failed: {error!r:.500}")
            else:
                self._state = outcome.state
                self._window = carried(self._window, good, outcome.results, outcome.window_length)
                return outcome.results
        return [error_entry(self._failed) for _ in good] if self._failed else []

    def _noted(
        self, times: Sequence[datetime | None], results: Sequence[Mapping[str, Any]]
    ) -> pa.RecordBatch:
        """Return the rows (n,) of readings and their results."""
        sparse: dict[str, list[Any]] = {name: [None] * len(times) for name in _SPARSE}
        for i, result in enumerate(results):
            for one in result.get("scores", ()):
                sparse[one["model_name"]][i] = one["score"]
            metadata = result["metadata"]
            if event := metadata.get("event"):
                sparse["event_id"][i] = event["id"]
                sparse["incident"][i] = event.get("incident", {}).get("why")
            if suppressed := metadata.get("suppressed"):
                sparse["suppressed"][i] = suppressed.get("by")
            if error := result.get("error"):
                sparse["error_code"][i] = error["code"]
                sparse["error"][i] = error["message"][:1000]
        return self._batch(
            len(times), timestamp=times, bundle_version=self._version, **sparse,
            **{name: [result.get(name) for result in results] for name in _JUDGED},
            # text, because orjson's bytes keep a kilobyte each, which malloc is slow to shrink
            metadata=[orjson.dumps(result["metadata"]).decode() for result in results],
        )  # fmt: skip

    def finish(self) -> Iterator[pa.RecordBatch]:
        """Yield the row of the final state, for a later run."""
        state = self._before
        if self._state is not None:
            window = [(r.timestamp.isoformat(), r.features) for r in self._window if r.timestamp]
            state = orjson.dumps({"state": self._state, "window": window}).decode()
        if state is not None:
            yield self._batch(1, state=state)

    def _batch(self, n: int, **given: Sequence[Any] | str | None) -> pa.RecordBatch:
        """Return ``n`` rows of the stream; a single text applies to all rows."""
        given |= dict(zip(KEYS, self._stream, strict=True))
        arrays = {}
        for name, kind in zip(_ARROW.names, _ARROW.types, strict=True):
            values = given.get(name)
            if values is None or isinstance(values, str):
                arrays[name] = pa.repeat(pa.scalar(values, kind), n)
            else:
                arrays[name] = pa.array(values, kind)
        arrays["day"] = arrays["timestamp"].cast(pa.date32())
        return pa.RecordBatch.from_arrays(list(arrays.values()), schema=_ARROW)


def _refused(at: datetime | None, features: dict[str, float] | InputError) -> dict[str, Any] | None:
    """Return the error entry of a reading that cannot be scored, else None."""
    if isinstance(features, InputError):
        return error_entry(features)
    if at is None:
        message = "timestamp: is missing or unreadable"
        return error_entry(InputError(message, code="bad_timestamp", field="timestamp"))
    return None
