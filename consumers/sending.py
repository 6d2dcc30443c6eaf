"""Send messages to the broker and record the outcome of each.

A rejected message or topic does not affect others: acknowledgements and rejections are recorded
per message.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import errors as kafka_errors

from consumers.broker import internals
from db.queries.outbox import OutboxMessage
from errors import BrokerUnavailable, SettingsError

FLUSH_SECONDS = 30.0  # maximum wait for the acknowledgement of what was sent

TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
#: No broker or client ever accepts this message.
NEVER = (*TOO_LARGE, TypeError, ValueError)
#: The topic rejects all our messages until its configuration or our permissions change.
TOPIC_REFUSES = (
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
    kafka_errors.UnknownTopicOrPartitionError,
    kafka_errors.InvalidTopicError,
)
#: The topic as configured rejects this message, or one sent in the same batch.
REFUSED = (
    *TOO_LARGE,
    kafka_errors.InvalidRecordError,
    kafka_errors.InvalidTimestampError,
    kafka_errors.PolicyViolationError,
)


Refused = tuple[OutboxMessage, Exception]


@dataclass(slots=True)
class Settled:
    """Outcome of the messages sent; messages in none of these fields may be sent again.

    Attributes
    ----------
    acknowledged : list of id
    never : {id: why}
        Messages that no topic can accept.
    refused : {id: why}
        Messages that their topic rejects for now.
    closed : {topic: why}
        Topics that reject all our messages.
    failure : BrokerUnavailable or None
        Why the other messages were not acknowledged.
    """

    acknowledged: list[int] = field(default_factory=list)
    never: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    failure: BrokerUnavailable | None = None


class Sending:
    """Send messages in order and wait for every acknowledgement.

    Parameters
    ----------
    make_producer : callable
        Makes a producer with the given options; called again after a failure from which the old
        producer does not recover.
    """

    def __init__(self, make_producer: Callable[..., Any]) -> None:
        self._make_producer = make_producer
        self._producer: Any = None
        self._options: dict[str, Any] = {}

    def send(self, messages: Sequence[OutboxMessage]) -> Settled:
        """Send as many messages as possible; return the outcome of each."""
        settled = Settled()
        for topic in dict.fromkeys(message.target_topic for message in messages):
            if settled.failure is None:
                chosen = [message for message in messages if message.target_topic == topic]
                self._send_to(topic, chosen, settled)
        return settled

    def _send_to(self, topic: str, messages: Sequence[OutboxMessage], settled: Settled) -> None:
        self._ask(topic, settled)
        in_doubt = [] if topic in settled.closed else self._send(messages, settled)
        if in_doubt:
            self._again([message for message, _ in in_doubt], settled)
        if topic in settled.closed:
            known = {*settled.acknowledged, *settled.never}
            left = [message.id for message in messages if message.id not in known]
            settled.refused |= dict.fromkeys(left, settled.closed[topic])
        if in_doubt or settled.failure is not None or topic in settled.closed:
            self.forget()

    def _ready(self) -> Any:
        """Return the producer, a new one after a failure."""
        if self._producer is None:
            try:
                self._producer = self._make_producer(**self._options)
            except SettingsError as error:  # a revoked login may be granted again
                raise BrokerUnavailable(error.message, code=error.code) from None
        return self._producer

    def forget(self) -> None:
        """Discard the producer and its unsent messages."""
        self.close(0.0)

    def close(self, seconds: float) -> None:
        """Close the producer; messages not acknowledged within ``seconds`` are discarded."""
        if self._producer is not None:
            internals.close(self._producer, seconds)
            self._producer = None

    def _ask(self, topic: str, settled: Settled) -> None:
        """Check that the topic exists and is visible to us, before each message waits for it."""
        begun = time.monotonic()
        try:
            producer = self._ready()
            begun = time.monotonic()  # what a new producer was answered was not about the topic
            producer.partitions_for(topic)
        except kafka_errors.KafkaTimeoutError as error:
            if internals.answered_since(self._producer, begun):
                settled.closed[topic] = "does not exist"
            else:
                settled.failure = unavailable(topic, error)
        except TOPIC_REFUSES as error:
            settled.closed[topic] = reason(error)
        except kafka_errors.KafkaError as error:
            settled.failure = unavailable(topic, error)
        except BrokerUnavailable as error:  # no producer can be made
            settled.failure = error

    def _send(self, messages: Sequence[OutboxMessage], settled: Settled) -> list[Refused]:
        """Send and record the outcomes; return messages rejected, perhaps because of others."""
        if settled.failure is not None or not messages:
            return []
        futures = []
        for message in messages:
            try:
                futures.append(
                    (message, internals.send(self._ready(), message.target_topic, message))
                )
            except NEVER as error:
                missing = isinstance(error, ValueError) and not internals.knows_topic(
                    self._producer, message.target_topic
                )
                if missing:
                    settled.closed[message.target_topic] = "does not exist"  # deleted just now
                    break
                settled.never[message.id] = reason(error)
            except (kafka_errors.KafkaError, AssertionError) as error:
                settled.failure = unavailable(message.target_topic, error)
                break
            except BrokerUnavailable as error:
                settled.failure = error
                break
        if not futures:  # perhaps there is no producer, either
            return []
        deadline = time.monotonic() + FLUSH_SECONDS
        with contextlib.suppress(kafka_errors.KafkaError):  # each future has its own result
            self._ready().flush(timeout=FLUSH_SECONDS)
        in_doubt: list[Refused] = []
        for message, future in futures:
            seconds = max(0.0, deadline - time.monotonic())
            refused = self._settle(message, future, seconds, settled)
            if refused is not None:
                in_doubt.append((message, refused))
        return in_doubt

    def _again(self, messages: Sequence[OutboxMessage], settled: Settled) -> None:
        """Send messages of rejected batches again, to find those that are rejected themselves.

        kafka-python's idempotent producer fails everything after a rejected batch with the same
        error; a plain producer does not. A plain producer may send a message twice if an answer is
        lost, which is allowed (at least once).
        """
        self.forget()
        self._options = {"enable_idempotence": False, "max_in_flight_requests_per_connection": 1}
        try:
            # a compacted topic rejects whole batches that contain a record without a key
            for keyed in (True, False):
                chosen = [one for one in messages if (one.key is not None) == keyed]
                for message, error in self._send(chosen, settled):
                    self._refuse(message, error, settled)
        finally:
            self.forget()
            self._options = {}

    def _refuse(self, message: OutboxMessage, error: Exception, settled: Settled) -> None:
        if isinstance(error, TOO_LARGE):
            settled.never[message.id] = "it is larger than the topic allows"
        elif message.key is None:
            settled.refused[message.id] = "rejects records without a key (is it compacted?)"
        else:
            settled.refused[message.id] = f"rejects records ({reason(error)})"

    def _settle(
        self, message: OutboxMessage, future: Any, seconds: float, settled: Settled
    ) -> Exception | None:
        """Record the outcome of one message; return the error if it was rejected."""
        try:
            future.get(timeout=seconds)
        except TOPIC_REFUSES as closed:
            settled.closed[message.target_topic] = reason(closed)
        except kafka_errors.KafkaError as error:
            # kafka-python's bare KafkaError means that another record of the batch was rejected
            if isinstance(error, REFUSED) or type(error) is kafka_errors.KafkaError:
                refused: Exception = error
                return refused
            settled.failure = settled.failure or unavailable(message.target_topic, error)
        else:
            settled.acknowledged.append(message.id)
        return None


def unavailable(topic: str, error: BaseException) -> BrokerUnavailable:
    """Make the error of a topic that the broker temporarily accepts no messages for."""
    return BrokerUnavailable(f"publishing to {topic}: {reason(error)}")


def reason(error: BaseException) -> str:
    """Return a readable reason for an error of kafka-python."""
    if isinstance(error, kafka_errors.TopicAuthorizationFailedError):
        return "cannot be written with this login (an ACL)"
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        return "does not exist"
    return str(error) or type(error).__name__
