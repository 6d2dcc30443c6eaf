"""When the service refuses most records for one reason, the set-up is wrong, not the records."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from errors import AnomalyError

# Reasons that a wrong bundle or producer gives to whole topics
SETUP_REASONS = frozenset({"no_group", "missing_features"})


class MisconfigurationError(AnomalyError):
    """Most of the last records were refused for one reason that points at the set-up."""

    code = "refused_by_setup"


class RejectionBreaker:
    """The last judgements of the service; judged on a full window only.

    Parameters
    ----------
    window : int
        How many judgements count.
    enabled : bool
        False: never says that the set-up is wrong.
    """

    def __init__(self, window: int, enabled: bool) -> None:
        self._last: deque[str | None] = deque(maxlen=window)
        self._window = window
        self._enabled = enabled

    def check(self, judged: Iterable[str | None]) -> None:
        """Look at a batch before it is stored; the reason of each refusal, None for a result.

        Raises
        ------
        RefusedBySetupError
            With these, more than half of the window is refused for one reason of the set-up.
        """
        if not self._enabled:
            return
        last = deque(self._last, maxlen=self._window)
        last.extend(judged)
        if len(last) < self._window:
            return
        reasons = Counter(reason for reason in last if reason in SETUP_REASONS)
        reason, count = next(iter(reasons.most_common(1)), (None, 0))
        if 2 * count > self._window:
            raise MisconfigurationError(
                f"{count} of the last {self._window} records were refused as {reason}: does the "
                "bundle fit the topic? REFUSAL_PAUSE=false goes on regardless",
                code=f"refused_{reason}",
            )

    def note(self, judged: Iterable[str | None]) -> None:
        """The batch is stored."""
        self._last.extend(judged)
