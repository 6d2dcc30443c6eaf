"""Stop when nearly all streams are rejected for one reason: the configuration is then wrong."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from config import Settings
from consumers.records.parsing import Rejection
from errors import AnomalyError
from schemas import StreamKey

log = logging.getLogger("consumers.bridge")

# Reasons that a wrong bundle or producer causes for whole topics
SETUP_REASONS = frozenset({"no_group", "missing_features"})

#: Maximum number of streams remembered as logged; beyond it all are forgotten.
MAX_LOGGED = 50_000

#: A stream, and why the service rejected its record; None for a result.
Judgement = tuple[StreamKey, str | None]
#: Judgements of a batch by partition, in order.
Judged = Mapping[int, Sequence[Judgement]]


class MisconfigurationError(AnomalyError):
    """Nearly all streams were rejected for one reason, which points to a wrong configuration."""

    code = "refused_by_setup"


class RejectionBreaker:
    """Raise if nearly all of the service's answers in a full window are rejections.

    If only some streams are rejected, the others must not wait: the rejected records become dead
    letters, logged once per stream. Each partition has its own window, so that a partition with
    many records does not outvote the streams of the others.

    Parameters
    ----------
    settings : Settings
        ``refusal_window``: answers per partition (fewer in total are not judged).
        ``refusal_share``: share of the streams that must be rejected, each in most of its records.
        ``refusal_retry_s``: after this time a quiet partition no longer counts.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._windows: dict[int, deque[Judgement]] = {}
        self._noted: dict[int, float] = {}  # when a partition's window was last added to
        self._clock = clock
        self._settings = settings
        self._window = settings.refusal_window
        self._framings: deque[str | None] = deque(maxlen=self._window)
        # of all workers: a cache would need a lock
        self._logged: set[tuple[StreamKey, str]] = set()

    def check(self, judged: Judged) -> None:
        """Check a batch before it is stored.

        Raises
        ------
        MisconfigurationError
            With this batch, nearly all streams of the window are rejected for one such reason.
        """
        reasons = {reason for batch in judged.values() for _, reason in batch}
        if not self._settings.refusal_pause or SETUP_REASONS.isdisjoint(reasons):
            return
        self._forget_quiet()
        windows = {**self._windows, **{one: self._after(one, judged[one]) for one in judged}}
        last = [judgement for window in windows.values() for judgement in window.copy()]
        if len(last) < self._window:
            return
        records = Counter(stream for stream, _ in last)
        refused = Counter(judgement for judgement in last if judgement[1] in SETUP_REASONS)
        streams = Counter(
            reason for (stream, reason), count in refused.items() if 2 * count > records[stream]
        )
        reason, count = next(iter(streams.most_common(1)), (None, 0))
        if count and (count == len(records) or count > self._settings.refusal_share * len(records)):
            raise MisconfigurationError(
                f"{count} of the {len(records)} streams of the last {len(last)} records were "
                f"rejected with {reason}: does the bundle fit the topic? REFUSAL_PAUSE=false "
                "disables this check",
                code=f"refused_{reason}",
            )

    def _after(self, partition: int, batch: Sequence[Judgement]) -> deque[Judgement]:
        """Return a partition's window with a batch added."""
        return deque([*self._windows.get(partition, ()), *batch], maxlen=self._window)

    def _forget_quiet(self) -> None:
        now = self._clock()
        for partition, at in list(self._noted.items()):
            if now - at > self._settings.refusal_retry_s:
                self._noted.pop(partition, None)
                self._windows.pop(partition, None)

    def check_framings(self, framings: Iterable[str | None]) -> None:
        """Check the foreign formats of a batch's records (None: no foreign format).

        Unreadable records are normally the fault of their sender. If most records have one foreign
        format, however, the whole topic would become dead letters.

        Raises
        ------
        MisconfigurationError
            With this batch, most records of the window have one recognised foreign format.
        """
        if not self._settings.refusal_pause:
            return
        last = deque(self._framings, maxlen=self._window)
        last.extend(framings)
        counts = Counter(name for name in last if name is not None)
        name, count = next(iter(counts.most_common(1)), (None, 0))
        if len(last) == self._window and 2 * count > self._window:
            raise MisconfigurationError(
                f"{count} of the last {self._window} records are not readings but {name}: does the "
                "producer write to the right topic? REFUSAL_PAUSE=false disables this check",
                code="refused_foreign_format",
            )

    def note(self, judged: Judged, framings: Iterable[str | None] = ()) -> None:
        """Count a stored batch."""
        for partition, batch in judged.items():
            self._windows[partition] = self._after(partition, batch)
            self._noted[partition] = self._clock()
        self._framings.extend(framings)

    def log_rejection(self, stream: StreamKey, rejection: Rejection | None) -> None:
        """Log, once per stream and reason, that its records become dead letters."""
        if rejection is None or rejection.reason not in SETUP_REASONS:
            return
        if (stream, rejection.reason) in self._logged:
            return
        if len(self._logged) >= MAX_LOGGED:
            self._logged.clear()
        self._logged.add((stream, rejection.reason))
        asset, sensor, feature = stream
        log.warning(
            "asset %s, sensor %s%s: %s; its records become dead letters until this is fixed; then "
            "python -m consumers.replay --dead-letters --reason %s sends them again",
            asset, sensor or None, f", feature {feature}" if feature else "", rejection.message,
            rejection.reason, extra={"action": "stream_refused"},
        )  # fmt: skip
