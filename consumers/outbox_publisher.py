"""Publish the messages of the outbox table, at least once, in the order stored.

Each target topic has its own thread and producer, so a slow, missing or rejecting topic delays
neither other topics nor scoring. A message's row is deleted once the broker has acknowledged the
message. A message that no topic can accept (too large) is logged and its row deleted; its content
stays in ``anomaly_detections`` or ``dead_letters``. A message that its topic rejects for now waits
up to ``BRIDGE_OUTBOX_DAYS``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.sending import Sending, Settled
from consumers.store import BridgeStore
from consumers.threads import PartThread
from db.queries import outbox
from db.queries.outbox import OutboxMessage, Source, Target
from errors import AnomalyError, BrokerUnavailable

log = logging.getLogger("consumers.bridge")

CHUNK = 1000  # messages read and published at a time
ORPHANS_EVERY = 5.0  # seconds between looks at the messages of partitions without an owner
#: Between retries of single messages that their topic rejects; there may be many of them.
REFUSED_AGAIN = 60.0
#: Unpublishable records that one log line names.
NAMED = 5


@dataclass(frozen=True, slots=True)
class Outlet:
    """The messages that one publisher publishes.

    Parameters
    ----------
    target : str or frozenset of str
        One topic, or every topic except these.
    sources : callable
        Returns the (topic id, partition) owned now.
    orphans : callable
        Returns the (topic id, partition) that have messages but no owner.
    age : float
        Maximum seconds that a message waits for a topic that rejects it.
    orphans_every : float
        Seconds between queries for messages without an owner.
    """

    target: Target
    sources: Callable[[], Collection[Source]]
    orphans: Callable[[], Collection[Source]]
    age: float
    orphans_every: float = ORPHANS_EVERY

    def __str__(self) -> str:
        return self.target if isinstance(self.target, str) else "other topics"


class Publisher(PartThread):
    """Publish one target's messages, of partitions owned by this bridge and of those without owner.

    Parameters
    ----------
    outage : Outage
        Of publishing to this target.
    store_outage : Outage
        Of the database.
    """

    def __init__(
        self,
        store: BridgeStore,
        sending: Sending,
        outlet: Outlet,
        metrics: Metrics,
        outage: Outage,
        store_outage: Outage,
    ) -> None:
        super().__init__(f"publisher of {outlet}", self._publish_all)
        self._store = store
        self._sending = sending
        self._outlet = outlet
        self._metrics = metrics
        self._outage = outage
        self._store_outage = store_outage
        # a rejecting topic delays only its messages, so this outage does not pause the bridge
        self._topic_outage = Outage(f"publishing to {outlet}")
        self._work = threading.Event()
        self._hurry = threading.Event()  # the bridge is stopping: do not wait for the broker
        self._idle = False  # nothing was waiting at the last query
        self._next_orphans = 0.0
        self._done: list[int] = []  # acknowledged; their rows may still exist
        self._settled = Settled()
        # rejected at the last try: all waiting messages up to this id, and the newest by their ids
        self._after, self._refused = 0, list[int]()
        self._refused_until = 0.0

    def notify(self) -> None:
        """Query for new messages."""
        self._idle = False
        self._work.set()

    @property
    def idle(self) -> bool:
        """Whether all possible messages were published at the last query and none came since."""
        return self._idle and not self._work.is_set()

    @property
    def refused(self) -> bool:
        """Whether messages wait because their topic rejects them."""
        return self._topic_outage.code is not None

    def hurry(self) -> None:
        """Shorten the waits for the broker, because the bridge is stopping."""
        self._hurry.set()
        self._work.set()

    def stop(self, seconds: float) -> None:
        """Publish waiting messages for at most ``seconds``."""
        deadline = time.monotonic() + seconds
        self.hurry()
        while not self.idle and time.monotonic() < deadline and self.is_alive():
            time.sleep(0.01)
        self.stopping.set()
        self._work.set()
        super().stop(max(0.1, deadline - time.monotonic()))
        self._sending.close(1.0)

    def _publish_all(self) -> None:
        while not self.stopping.is_set():
            self._work.wait(1.0)
            self._work.clear()
            try:
                self._look()
                if not self._work.is_set():
                    self._idle = True
            except BrokerUnavailable as error:
                self._sending.forget()
                self._again_after(self._outage.record_failure(error), self._hurry)
            except AnomalyError as error:
                # the next commit shows that the database is back, and wakes this thread
                self._again_after(self._store_outage.record_failure(error), self._work)

    def _again_after(self, seconds: float, sooner: threading.Event) -> None:
        if self._hurry.is_set():
            self.stopping.wait(min(seconds, 0.2))
        else:
            sooner.wait(seconds)
        self._work.set()

    def _look(self) -> None:
        """Publish all messages that can be published now."""
        again = time.monotonic() >= self._refused_until
        if again:
            self._after, self._refused = 0, []
        if again or not self._settled.closed:
            while not self.stopping.is_set() and self._drain_once():
                pass
            self._drain_orphans()
        if again and not self._refused:
            self._topic_outage.record_success()
            self._metrics.refusing.labels(str(self._outlet)).set(0)

    def _drain_once(self) -> bool:
        """Publish one chunk of our partitions' messages; return whether there may be more."""
        self._forget_done()
        messages = self._store.waiting(
            self._outlet.sources(), self._outlet.target, self._after, CHUNK, self._refused
        )
        self._store_outage.record_success(reading=True)
        if not messages:
            return False
        with self._metrics.timed("publish"):
            self._publish(messages)
        self._forget_done()
        return self._settle(messages) and len(messages) == CHUNK

    def _drain_orphans(self) -> None:
        """Publish the messages of partitions without an owner."""
        now = time.monotonic()
        if now < self._next_orphans or self._refused:
            return
        self._next_orphans = now + self._outlet.orphans_every
        self._metrics.outbox.set(self._store.run(outbox.outbox_size))
        orphans, after = self._outlet.orphans(), 0
        while orphans and not self.stopping.is_set():
            messages = self._store.publish_orphans(
                orphans, self._outlet.target, after, CHUNK, self._publish
            )
            self._done = []
            if not messages or not self._settle(messages):
                return
            after = messages[-1].id

    def _forget_done(self) -> None:
        """Delete the rows of published messages; called first in case an earlier delete failed."""
        if self._done:
            self._store.run(outbox.delete_outbox, self._done)
            self._done = []

    def _publish(self, messages: list[OutboxMessage]) -> Sequence[int]:
        """Send messages; return the ids whose rows can be deleted."""
        self._settled = settled = self._sending.send(messages)
        self._done = [*settled.acknowledged, *settled.never]
        targets = {message.id: message.target_topic for message in messages}
        for topic, count in Counter(targets[one] for one in settled.acknowledged).items():
            self._metrics.published.labels(topic).inc(count)
        self._metrics.unpublishable.inc(len(settled.never))
        log_unpublishable(messages, settled.never)
        return self._done

    def _settle(self, messages: Sequence[OutboxMessage]) -> bool:
        """Handle the unpublished rest of a chunk; return whether to continue now.

        Raises
        ------
        BrokerUnavailable
        """
        settled = self._settled
        if settled.refused:
            self._wait_for_topic(messages)
        if settled.failure is not None:
            raise settled.failure
        self._outage.record_success()
        return not settled.closed

    def _wait_for_topic(self, messages: Sequence[OutboxMessage]) -> None:
        """Let rejected messages wait without blocking later ones; expire those past the age."""
        refused, closed = self._settled.refused, self._settled.closed
        targets = {message.id: message.target_topic for message in messages}
        expired = self._store.run(outbox.expire_outbox, list(refused), self._outlet.age)
        topics = ", ".join(sorted({targets[one] for one in refused}))
        why = Counter(refused.values()).most_common(1)[0][0]
        error = BrokerUnavailable(f"topic {topics} {why}", code="topic_refuses")
        wait = self._topic_outage.record_failure(error, 0.0 if closed else REFUSED_AGAIN)
        self._metrics.refusing.labels(str(self._outlet)).set(1)
        self._refused_until = time.monotonic() + wait
        self._skip(refused)
        if expired:
            self._metrics.expired.labels(str(self._outlet)).inc(expired)
            log.error(
                "%d messages to %s waited for more than %g days (BRIDGE_OUTBOX_DAYS): no longer "
                "published; they stay in the tables",
                expired, topics, self._outlet.age / 86400, extra={"action": "expired"},
            )  # fmt: skip

    def _skip(self, refused: Collection[int]) -> None:
        """Let later queries skip these messages.

        They are skipped one by one, for ids are given before the commit: a batch of another worker
        may be stored later with lower ids. Of many, the oldest are skipped up to the last of them.
        """
        ids = sorted({*self._refused, *refused})
        self._refused = ids[-CHUNK:]
        self._after = max([self._after, *ids[:-CHUNK]])


def log_unpublishable(messages: Sequence[OutboxMessage], never: Mapping[int, str]) -> None:
    """Log the messages that no topic accepts: one line for all with the same topic and reason.

    A topic whose limit is too small rejects every one.

    Parameters
    ----------
    messages : sequence of OutboxMessage
    never : mapping
        Reasons by the ids of those concerned.
    """
    alike: dict[tuple[str, str], list[OutboxMessage]] = {}
    for message in messages:
        if message.id in never:
            alike.setdefault((message.target_topic, never[message.id]), []).append(message)
    for (topic, why), found in alike.items():
        first = ", ".join(_source(one) for one in found[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        log.error(
            "%s%s cannot be published to %s: %s; the content stays in the tables",
            first, more, topic, why, extra={"action": "unpublishable"},
        )  # fmt: skip


def _source(message: OutboxMessage) -> str:
    if message.source_offset is None:
        return f"incident {(message.key or b'').decode(errors='replace')}"
    return f"record {message.source_offset} of partition {message.partition}"
