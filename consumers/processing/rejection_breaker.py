"""The circuit breaker: when nearly all streams are rejected for one reason, the set-up is wrong."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable

from consumers.records.parsing import Rejection
from consumers.stream_cache import StreamKey
from errors import AnomalyError

log = logging.getLogger("consumers.bridge")

# Reasons that a wrong bundle or producer gives to whole topics
SETUP_REASONS = frozenset({"no_group", "missing_features"})

#: A stream, and why the service rejected its record; None for a result.
Judgement = tuple[StreamKey, str | None]


class MisconfigurationError(AnomalyError):
    """Nearly all streams were rejected for one reason that points at the set-up."""

    code = "refused_by_setup"


class RejectionBreaker:
    """Raises when nearly all of a full window of the service's answers are rejections.

    Where some streams are rejected and others are not, the others must not wait: the rejected
    ones' records become dead letters, which is logged once per stream.

    Parameters
    ----------
    window : int
        How many answers count.
    enabled : bool
        False: never raises.
    share : float
        Of the streams in the window, more than this must be rejected, each in most of its records.
    most_said : int
        Streams known to be logged; beyond that all are forgotten.
    """

    def __init__(
        self, window: int, enabled: bool, share: float = 0.95, max_logged: int = 50_000
    ) -> None:
        self._last: deque[Judgement] = deque(maxlen=window)
        self._framings: deque[str | None] = deque(maxlen=window)
        self._window = window
        self._enabled = enabled
        self._share = share
        self._max_logged = max_logged
        self._logged: set[tuple[StreamKey, str]] = set()

    def check(self, judged: Iterable[Judgement]) -> None:
        """Check a batch before it is stored.

        Raises
        ------
        MisconfigurationError
            With these, nearly all streams of the window are rejected for one reason of the set-up.
        """
        if not self._enabled:
            return
        last = deque(self._last, maxlen=self._window)
        last.extend(judged)
        if len(last) < self._window:
            return
        records = Counter(stream for stream, _ in last)
        refused = Counter(judgement for judgement in last if judgement[1] in SETUP_REASONS)
        streams = Counter(
            reason for (stream, reason), count in refused.items() if 2 * count > records[stream]
        )
        reason, count = next(iter(streams.most_common(1)), (None, 0))
        if count and (count == len(records) or count > self._share * len(records)):
            raise MisconfigurationError(
                f"{count} of the {len(records)} streams of the last {self._window} records were "
                f"refused as {reason}: does the bundle fit the topic? REFUSAL_PAUSE=false goes on "
                "regardless",
                code=f"refused_{reason}",
            )

    def check_framings(self, framings: Iterable[str | None]) -> None:
        """Check the foreign formats, or None, that a batch's records came in.

        Records that cannot be read are their sender's fault, unless most of what comes is in one
        foreign format: then a topic would be emptied into dead letters.

        Raises
        ------
        MisconfigurationError
            With these, most records of the window are in one recognised foreign format.
        """
        if not self._enabled:
            return
        last = deque(self._framings, maxlen=self._window)
        last.extend(framings)
        counts = Counter(name for name in last if name is not None)
        name, count = next(iter(counts.most_common(1)), (None, 0))
        if len(last) == self._window and 2 * count > self._window:
            raise MisconfigurationError(
                f"{count} of the last {self._window} records are no readings but {name}: does the "
                "producer write what this topic is for? REFUSAL_PAUSE=false goes on regardless",
                code="refused_foreign_format",
            )

    def note(self, judged: Iterable[Judgement], framings: Iterable[str | None] = ()) -> None:
        """Count a batch that was stored."""
        self._last.extend(judged)
        self._framings.extend(framings)

    def log_rejection(self, stream: StreamKey, rejection: Rejection | None) -> None:
        """Log a stream whose records become dead letters for the set-up, once per reason."""
        if rejection is None or rejection.reason not in SETUP_REASONS:
            return
        if (stream, rejection.reason) in self._logged:
            return
        if len(self._logged) >= self._max_logged:
            self._logged.clear()
        self._logged.add((stream, rejection.reason))
        asset, sensor, feature = stream
        log.warning(
            "asset %s, sensor %s%s: %s; its records become dead letters until that is mended, then "
            "python -m consumers.replay --dead-letters --reason %s sends them again",
            asset, sensor or None, f", feature {feature}" if feature else "", rejection.message,
            rejection.reason, extra={"action": "stream_refused"},
        )  # fmt: skip
