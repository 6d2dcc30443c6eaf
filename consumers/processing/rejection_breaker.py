"""When the service refuses nearly all streams for one reason, the set-up is wrong, not they."""

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

#: A stream, and why the service refused its record; None for a result.
Judgement = tuple[StreamKey, str | None]


class MisconfigurationError(AnomalyError):
    """Nearly all streams were refused for one reason that points at the set-up."""

    code = "refused_by_setup"


class RejectionBreaker:
    """The last judgements of the service; judged on a full window only.

    Where some streams are refused and others are not, the others must not wait: the refused ones'
    records become dead letters, which is said once per stream.

    Parameters
    ----------
    window : int
        How many judgements count.
    enabled : bool
        False: never says that the set-up is wrong.
    share : float
        Of the streams in the window, more than this must be refused, each in most of its records.
    most_said : int
        Streams remembered as said; beyond that all are forgotten.
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
        self._said: set[tuple[StreamKey, str]] = set()

    def check(self, judged: Iterable[Judgement]) -> None:
        """Look at a batch before it is stored.

        Raises
        ------
        RefusedBySetupError
            With these, nearly all streams of the window are refused for one reason of the set-up.
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
        """Look at what a batch's records came in: a foreign format, or None.

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
        """The batch is stored."""
        self._last.extend(judged)
        self._framings.extend(framings)

    def log_rejection(self, stream: StreamKey, rejection: Rejection | None) -> None:
        """A stream's record became a dead letter; said once, if it is for such a reason."""
        if rejection is None or rejection.reason not in SETUP_REASONS:
            return
        if (stream, rejection.reason) in self._said:
            return
        if len(self._said) >= self._max_logged:
            self._said.clear()
        self._said.add((stream, rejection.reason))
        asset, sensor, feature = stream
        log.warning(
            "asset %s, sensor %s%s: %s; its records become dead letters until that is mended, then "
            "python -m consumers.replay --dead-letters --reason %s sends them again",
            asset, sensor or None, f", feature {feature}" if feature else "", rejection.message,
            rejection.reason, extra={"action": "stream_refused"},
        )  # fmt: skip
