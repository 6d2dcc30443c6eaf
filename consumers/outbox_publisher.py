"""Publishing what the database says must be published, at least once, in the order stored.

A thread of its own: the broker may be slow or down while scoring goes on. A row goes once the
broker has acknowledged it; a message that the broker finds too large stays in its table
(``anomaly_detections`` or ``dead_letters``), which is said, and its row goes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from kafka import errors as kafka_errors

from consumers.kill import Hook, nothing
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.store import BridgeStore, Source
from db.queries.outbox import OutboxMessage
from errors import AnomalyError, BrokerUnavailable

log = logging.getLogger("consumers.bridge")

CHUNK = 1000
ORPHANS_EVERY = 5.0
_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)


class Publisher:
    """Drains the outbox of the partitions that this bridge owns, and of those nobody owns.

    Parameters
    ----------
    store : Store
    make_producer : callable
        A new producer; called again after a failure that the old one does not get over.
    sources : callable
        The (topic id, partition) owned now.
    orphans : callable
        The (topic id, partition) with messages of an input topic that is gone.
    """

    def __init__(
        self,
        store: BridgeStore,
        make_producer: Callable[[], Any],
        sources: Callable[[], Collection[Source]],
        orphans: Callable[[], Collection[Source]],
        metrics: Metrics,
        trouble: Outage,
        store_trouble: Outage,
        hook: Hook = nothing,
    ) -> None:
        self._store = store
        self._make_producer = make_producer
        self._producer: Any = None
        self._sources = sources
        self._orphans = orphans
        self._metrics = metrics
        self._trouble = trouble
        self._store_trouble = store_trouble
        self._hook = hook
        self._work = threading.Event()
        self._hurry = threading.Event()  # the end is near: wait no longer for the broker
        self._stop = threading.Event()
        self._idle = False  # nothing of ours was waiting when last looked
        self._next_orphans = 0.0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def notify(self) -> None:
        """There may be something to publish."""
        self._idle = False
        self._work.set()

    @property
    def idle(self) -> bool:
        """Everything of ours was published when last looked, and nothing came since."""
        return self._idle and not self._work.is_set()

    def stop(self, seconds: float) -> None:
        """Publish what is waiting, but no longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        self._hurry.set()
        self._work.set()
        while not self.idle and time.monotonic() < deadline and self._thread.is_alive():
            time.sleep(0.01)
        self._stop.set()
        self._work.set()
        self._thread.join(max(0.1, deadline - time.monotonic()))
        if self._producer is not None:
            self._producer.close(timeout=1)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._work.wait(1.0)
            self._work.clear()
            try:
                while not self._stop.is_set() and self._drain_once():
                    pass
                self._drain_orphans()
                if not self._work.is_set():
                    self._idle = True
            except BrokerUnavailable as error:
                self._forget_producer()
                self._again_after(self._trouble.failed(error), self._hurry)
            except AnomalyError as error:
                # a commit tells that the database is back
                self._again_after(self._store_trouble.failed(error), self._work)

    def _again_after(self, seconds: float, sooner: threading.Event) -> None:
        if self._hurry.is_set():
            self._stop.wait(min(seconds, 0.2))
        else:
            sooner.wait(seconds)
        self._work.set()

    def _drain_once(self) -> bool:
        """Publish one chunk of our partitions; whether there may be more."""
        messages = self._store.waiting(self._sources(), CHUNK)
        self._store_trouble.passed()
        if not messages:
            return False
        with self._metrics.timed("publish"):
            done = self.publish(messages)
        self._store.published(done)
        self._hook("after_ack")
        return len(messages) == CHUNK

    def _drain_orphans(self) -> None:
        """Rows of a topic that is gone have no owner: any bridge publishes them."""
        now = time.monotonic()
        if now < self._next_orphans:
            return
        self._next_orphans = now + ORPHANS_EVERY
        self._metrics.outbox.set(self._store.outbox_size())
        orphans = self._orphans()
        while orphans and not self._stop.is_set():
            if not self._store.publish_orphans(orphans, CHUNK, self.publish):
                return

    def publish(self, messages: list[OutboxMessage]) -> list[int]:
        """Send in order, wait for every acknowledgement; the ids that are done.

        Raises
        ------
        BrokerUnavailable
            Some were not acknowledged; those that were may be sent again.
        """
        if self._producer is None:
            self._producer = self._make_producer()
        sent = [(message, self._send(message)) for message in messages]
        self._flush()
        for message, future in sent:
            self._settle(message, future)
        self._hook("after_publish")
        self._trouble.passed()
        return [message.id for message in messages]

    def _send(self, message: OutboxMessage) -> Any:
        try:
            return self._producer.send(
                message.target_topic,
                key=message.key,
                # kafka-python sends no record that has neither key nor value
                value=b"" if message.key is None and message.value is None else message.value,
                headers=message.headers,
            )
        except _TOO_LARGE as error:
            return error
        except (kafka_errors.KafkaError, AssertionError) as error:
            raise BrokerUnavailable(f"publishing: {_said(error)}") from None

    def _flush(self) -> None:
        try:
            self._producer.flush(timeout=30)
        except kafka_errors.KafkaError as error:
            raise BrokerUnavailable(f"publishing: {_said(error)}") from None

    def _settle(self, message: OutboxMessage, future: Any) -> None:
        error = future if isinstance(future, Exception) else None
        if error is None:
            try:
                future.get(timeout=1)
            except kafka_errors.KafkaError as failed:
                error = failed
        if error is None:
            self._metrics.published.labels(message.target_topic).inc()
        elif isinstance(error, _TOO_LARGE):
            self._metrics.unpublishable.inc()
            log.error(
                "record %s of partition %d is too large to publish to %s; it stays in the tables",
                message.source_offset, message.partition, message.target_topic,
                extra={"action": "unpublishable"},
            )  # fmt: skip
        else:
            raise BrokerUnavailable(f"publishing to {message.target_topic}: {_said(error)}")

    def _forget_producer(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=0)
            self._producer = None


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
