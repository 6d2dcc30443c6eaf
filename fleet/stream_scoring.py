"""Score one stream's readings in a Spark worker, batch by batch: the pure function of the service.

What a stream remembers between batches is what the bridge would keep, its state and window, so a
stream of any length passes in constant memory. Nothing that is wrong with a reading or a stream
stops another: a reading gets an error entry, as in the service, and a stream that fails gets one
for each reading from there on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from errors import AnomalyError, InputError
from fleet.frames import Form
from fleet.spark import arrow, ddl, shipped
from models.detectors.base import MODEL_NAMES
from models.scoring.decision import error_entry
from models.scoring.ensemble import Reading, StreamWork, score
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import CHUNK, carried
from models.scoring.suppression import Suppression
from schemas import check_features, check_name

#: Columns of scored readings, in order.
READING: Final = {
    "asset_id": "string", "sensor_id": "string", "feature": "string", "timestamp": "timestamp",
    "final_score": "double", "log10_p": "double", "threshold": "double", "is_anomaly": "boolean",
    "criticality": "string", **dict.fromkeys(MODEL_NAMES, "double"), "event_id": "string",
    "incident": "string", "suppressed": "string", "metadata": "string", "bundle_version": "string",
    "error_code": "string", "error": "string",
}  # fmt: skip
#: What a task yields: scored readings with their day, and a row with the stream's state at its end.
COLUMNS: Final = {"day": "date", **READING, "state": "string"}
SCHEMA: Final = ddl(COLUMNS)
_ARROW: Final = arrow(COLUMNS)
_JUDGED: Final = ("final_score", "log10_p", "threshold", "is_anomaly", "criticality")
_ROWS = 4 * CHUNK

Point = tuple[datetime | None, dict[str, float] | InputError]


@dataclass(frozen=True, slots=True)
class Plan:
    """What every worker knows.

    Parameters
    ----------
    bundle : name under which the bundle was shipped; ``version`` is the registry's.
    criticality : by asset; ``usual`` is that of the others.
    suppression : maintenance windows and machine-off conditions.
    resets : by (asset, sensor or None): time and number of each reset, rising.
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
    """Yield the rows (COLUMNS) of one stream, whose batches come in the order of time.

    Parameters
    ----------
    key : asset_id, sensor_id, feature; absent parts are ''.
    """
    run = _Run(plan, *(part or "" for part in key))
    for points in _chunks(plan, run, batches):
        run.take(points)
        if len(run.rows) >= _ROWS:
            yield run.flush()
    run.finish()
    yield run.flush()


def _chunks(plan: Plan, run: _Run, batches: Iterable[pa.RecordBatch]) -> Iterator[list[Point]]:
    """Yield readings as the service would get them: CHUNK at a time, cut where a reset is due."""
    waiting: list[Point] = []
    for point in _unrepeated(_points(plan.form, run, batches)):
        if waiting and (len(waiting) >= CHUNK or run.reset_at(point[0]) != run.reset):
            yield waiting
            waiting = []
        run.reset = run.reset_at(point[0])
        waiting.append(point)
    if waiting:
        yield waiting


def _unrepeated(points: Iterable[Point]) -> Iterator[Point]:
    """Pass each reading once; as over Kafka, one of the same time and features is none."""
    last: Point | None = None
    for point in points:
        if point[0] is None or point != last:
            yield point
        last = point


def _points(form: Form, run: _Run, batches: Iterable[pa.RecordBatch]) -> Iterator[Point]:
    """Decode batches; times must not fall, since everything that follows relies on it."""
    decode = {"wide": _wide, "long": _long, "stored": _stored}[form.kind]
    yield from decode(form, _readings_of(run, batches))


def _readings_of(run: _Run, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Take the state off the first batch, and check the order of time in all."""
    last = np.iinfo(np.int64).min
    for batch in batches:
        states = batch.column("state").drop_null().to_pylist()
        if states:
            batch = batch.filter(pa.compute.is_null(batch.column("state")))
            run.begin(states)
        known = batch.column("at").drop_null().cast(pa.int64()).to_numpy()
        if len(known):
            if known[0] < last or (np.diff(known) < 0).any():
                raise AssertionError(f"readings of {run.name} are not in the order of time")
            last = known[-1]
        if len(batch):
            yield batch


def _times(batch: pa.RecordBatch) -> list[datetime | None]:
    times = batch.column("at").to_numpy(zero_copy_only=False).astype("datetime64[us]").tolist()
    return [None if at is None else at.replace(tzinfo=UTC) for at in times]


def _wide(form: Form, batches: Iterable[pa.RecordBatch]) -> Iterator[Point]:
    names = form.names
    for batch in batches:
        columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in form.columns]
        values = np.column_stack(columns).astype(np.float64, copy=False)
        broken = set(np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist())
        for i, (at, row) in enumerate(zip(_times(batch), values.tolist(), strict=True)):
            if i not in broken:
                yield at, dict(zip(names, row, strict=True))
            else:
                yield at, _checked({n: v for n, v in zip(names, row, strict=True) if v == v})


def _stored(form: Form, batches: Iterable[pa.RecordBatch]) -> Iterator[Point]:
    for batch in batches:
        for at, text in zip(_times(batch), batch.column("features").to_pylist(), strict=True):
            yield at, _checked(orjson.loads(text))


def _long(form: Form, batches: Iterable[pa.RecordBatch]) -> Iterator[Point]:
    """Join the rows of one time to one reading."""
    at: datetime | None = None
    held: dict[str, Any] = {}
    twice: InputError | None = None
    for batch in batches:
        names, values = (batch.column(name).to_pylist() for name in form.columns)
        for time, name, value in zip(_times(batch), names, values, strict=True):
            if held and (time != at or time is None):
                yield at, twice or _checked(held)
                held, twice = {}, None
            at = time
            if name in held and held[name] != value:
                twice = InputError(
                    f"features.{name}: both {held[name]} and {value} at one time",
                    code="bad_features", field=f"features.{name}",
                )  # fmt: skip
            if value is not None and value == value:
                held[name] = value
    if held:
        yield at, twice or _checked(held)


def _checked(features: dict[str, Any]) -> dict[str, float] | InputError:
    try:
        return check_features(features)
    except InputError as error:
        return error


class _Run:
    """One stream on its way through a task."""

    def __init__(self, plan: Plan, asset: str, sensor: str, feature: str) -> None:
        self.name = " / ".join(part for part in (asset, sensor, feature) if part) or "''"
        self.rows: list[tuple[Any, ...]] = []
        self.reset = 0
        self._plan = plan
        self._stream = (asset, sensor or None, feature or None)
        self._state: dict[str, Any] | None = None
        self._window: list[Reading] = []
        self._before: str | None = None  # the state as it came
        self._failed: AnomalyError | None = None
        resets = [
            *plan.resets.get((asset, None), ()),
            *plan.resets.get((asset, sensor or None), ()),
        ]
        self._resets = sorted(set(resets))
        bundle = shipped(plan.bundle, plan.version)
        self._version = bundle.version
        try:
            check_name(asset, "asset_id")
            self._set = bundle.model_set(bundle.group_for(*self._stream))
        except AnomalyError as error:
            self._failed = error

    def begin(self, states: list[str]) -> None:
        """Go on from the state of a run before."""
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
        """Return the number of the newest reset that a reading at ``at`` comes after."""
        if not self._resets or at is None:
            return self.reset
        place = bisect_right(self._resets, at, key=lambda one: one[0])
        return max((number for _, number in self._resets[:place]), default=0)

    def take(self, points: Sequence[Point]) -> None:
        """Score the next readings, and note what became of each."""
        good = [Reading(at, f) for at, f in points if at is not None and isinstance(f, dict)]
        results = iter(self._scored(good))
        for at, features in points:
            if isinstance(features, InputError):
                result = error_entry(features)
            elif at is None:
                result = error_entry(
                    InputError("timestamp: is missing, or cannot be read as a time",
                               code="bad_timestamp", field="timestamp")
                )  # fmt: skip
            else:
                result = next(results)
            self._note(at, result)

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
            except Exception as error:  # whatever it is, it is this stream's alone
                self._failed = AnomalyError(f"scoring failed: {error!r:.500}")
            else:
                self._state = outcome.state
                self._window = carried(self._window, good, outcome.results, outcome.window_length)
                return outcome.results
        return [error_entry(self._failed) for _ in good] if self._failed else []

    def _note(self, at: datetime | None, result: Mapping[str, Any]) -> None:
        metadata, error = result["metadata"], result.get("error") or {}
        event = metadata.get("event") or {}
        scores = {one["model_name"]: one["score"] for one in result.get("scores", ())}
        self.rows.append(
            (
                None if at is None else at.date(), *self._stream, at, *map(result.get, _JUDGED),
                *map(scores.get, MODEL_NAMES), event.get("id"),
                event.get("incident", {}).get("why"),
                (metadata.get("suppressed") or {}).get("by"), orjson.dumps(metadata).decode(),
                self._version, error.get("code"), error.get("message", "")[:1000] or None, None,
            )
        )  # fmt: skip

    def finish(self) -> None:
        """Note the state for a run that goes on from here."""
        state = self._before
        if self._state is not None:
            window = [(r.timestamp.isoformat(), r.features) for r in self._window if r.timestamp]
            state = orjson.dumps({"state": self._state, "window": window}).decode()
        if state is not None:
            nothing = (None,) * (len(READING) - 3)
            self.rows.append((None, *self._stream, *nothing, state))

    def flush(self) -> pa.RecordBatch:
        """Return the rows so far, and forget them."""
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(COLUMNS)
        arrays = [pa.array(c, kind.type) for c, kind in zip(columns, _ARROW, strict=True)]
        self.rows = []
        return pa.RecordBatch.from_arrays(arrays, schema=_ARROW)
