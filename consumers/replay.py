"""Send readings to the input topic: ``python -m consumers.replay``.

Each row of a wide file becomes one record of the grouped shape, keyed by asset.
``--dead-letters`` sends stored dead letters again, with their original bytes, key and headers,
after the cause of their rejection is fixed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from kafka import errors as kafka_errors
from sqlalchemy import Engine

from config import Settings, load_settings
from consumers.broker import clients, internals
from consumers.sending import NEVER, reason
from datasets import FileFormat, Reading, add_format_arguments, format_of, readings
from db.queries.dead_letters import DeadLetterFilter, dead_letter_page
from db.session import database_now, in_transaction, opened
from errors import BrokerUnavailable
from runtime import command_parser, configure_logging, report_errors, run_command
from schemas import LookAlikes, parse_timestamp

log = logging.getLogger(__name__)

HELP = """\
examples:
  python -m consumers.replay plant.csv                        as fast as the broker accepts
  python -m consumers.replay plant.parquet --rate 200 --shift-to-now
  python -m consumers.replay --dead-letters --reason missing_features --since 2026-01-01

The settings KAFKA_BOOTSTRAP_SERVERS and KAFKA_TOPIC_INPUT_FEATURES name the broker and the topic.
The last line says how many records the broker acknowledged.
The bridge rejects a reading more than an hour ahead of the time when it was sent
(BRIDGE_FUTURE_S): send data with future times with --shift-to-now.
"""

IN_FLIGHT = 5000  # records sent and not yet acknowledged: bounds the memory
PAGE = 500  # dead letters read from the database at a time


@dataclass(frozen=True, slots=True)
class Message:
    """One record to send; ``timestamp_ms`` is set only if the original's must be kept."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_ms: int | None = None


def encode(reading: Reading, shift: timedelta, source: str) -> Message:
    """Encode a reading as a record of the grouped shape.

    Parameters
    ----------
    shift
        Added to the reading's time.
    source
        Name of the file, for the record's metadata.
    """
    document = {
        "asset_id": reading.asset_id,
        "sensor_id": reading.sensor_id,
        "features": reading.features,
        "timestamp": (reading.timestamp + shift).isoformat(),
        "metadata": {"num_features": len(reading.features), "source": source},
    }
    return Message(reading.asset_id.encode(), orjson.dumps(document), [])


def send(
    messages: Iterable[Message],
    producer: Any,
    topic: str,
    rate: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[int, int]:
    """Send all messages, at ``rate`` per second or as fast as possible.

    Parameters
    ----------
    producer
        A ``KafkaProducer``.
    topic
        Topic of all messages.
    rate
        Messages per second; None: no limit.
    sleep
        Called with the seconds to wait when sending is ahead of the rate.

    Returns
    -------
    acknowledged, refused : int
        A message that no topic can accept is reported and skipped.

    Raises
    ------
    BrokerUnavailable
        A message was not acknowledged; those before it were.
    """
    started = time.monotonic()
    waiting: list[Any] = []
    acknowledged = number = 0
    try:
        for number, message in enumerate(messages, start=1):
            if rate:
                ahead = started + (number - 1) / rate - time.monotonic()
                if ahead > 0:
                    sleep(ahead)
            try:
                waiting.append(internals.send(producer, topic, message, message.timestamp_ms))
            except NEVER as error:
                _report_refused(error)
            if len(waiting) >= IN_FLIGHT:
                acknowledged += _settle(waiting[: IN_FLIGHT // 2])
                del waiting[: IN_FLIGHT // 2]
        producer.flush()
        acknowledged += _settle(waiting)
        return acknowledged, number - acknowledged
    except kafka_errors.KafkaError as error:
        raise BrokerUnavailable(f"sending to {topic}: {reason(error)}") from None


def _settle(futures: list[Any]) -> int:
    acknowledged = 0
    for future in futures:
        try:
            future.get(timeout=60)
            acknowledged += 1
        except NEVER as error:
            _report_refused(error)
    return acknowledged


def _report_refused(error: Exception) -> None:
    print(f"a record cannot be sent: {reason(error)}", file=sys.stderr)


def from_file(
    path: Path, shift_to_now: bool, limit: int | None, form: FileFormat | None = None
) -> Iterator[Message]:
    """Yield the rows of a file, in its order unless its rows go back in time.

    Parameters
    ----------
    shift_to_now
        Shift all times so that the newest is now.
    limit
        Maximum number of rows; None: all.
    form
        Format options of the file; the others are detected.
    """
    shift = timedelta()
    if shift_to_now:
        now = datetime.now(UTC)
        times = (one.timestamp for one in islice(readings(path, form=form, by_time=True), limit))
        shift = now - max(times, default=now)
        print(f"times are moved by {shift.total_seconds():.6f} s", flush=True)
    empty, names = 0, LookAlikes()
    noted = partial(print, "note:", flush=True)
    for reading in islice(readings(path, form=form, report=noted, by_time=True), limit):
        for sentence in names.meet(reading.asset_id, reading.sensor_id):
            log.warning("%s: %s", path.name, sentence)
        if reading.features:
            yield encode(reading, shift, path.name)
        else:
            empty += 1
    if empty:
        print(f"{empty} rows without any value are skipped", flush=True)


def dead_letters(engine: Engine, chosen: DeadLetterFilter) -> Iterator[Message]:
    """Yield dead letters unchanged, oldest first, read page by page.

    Dead letters stored after the start are excluded, so records that fail again are not repeated.
    """
    if chosen.until is None:
        chosen = replace(chosen, until=in_transaction(engine, database_now))
    after = None
    while True:
        page = in_transaction(engine, dead_letter_page, chosen, limit=PAGE, after=after)
        for letter in page:
            stamp = letter["kafka_timestamp"]
            at = None if stamp is None else round(stamp.timestamp() * 1000)
            yield Message(letter["key"], letter["value"], letter["headers"], at)
        if len(page) < PAGE:
            return
        after = page[-1]["created_at"], page[-1]["id"]


def arguments() -> argparse.ArgumentParser:
    """Define the command line."""
    parser = command_parser("consumers.replay", __doc__, HELP)
    parser.add_argument(
        "file", nargs="?", type=Path, help="CSV, JSON, Parquet or workbook, one reading per row"
    )
    parser.add_argument("--rate", type=float, help="records per second (default: no limit)")
    parser.add_argument("--limit", type=int, help="maximum number of records")
    parser.add_argument(
        "--shift-to-now",
        action="store_true",
        help="shift all times so that the newest is now (default: keep them)",
    )
    add_format_arguments(parser)
    again = parser.add_argument_group("sending dead letters again")
    again.add_argument("--dead-letters", action="store_true", help="instead of a file")
    again.add_argument("--reason", help="only with this reason (default: all but duplicate)")
    again.add_argument("--asset", help="only of this asset")
    again.add_argument("--since", help="only stored at or after this time (ISO 8601)")
    again.add_argument("--until", help="only stored before this time (ISO 8601)")
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 if all were acknowledged, 1 on a failure, 2 on wrong usage."""
    parser = arguments()
    options = parser.parse_args(argv)
    if options.dead_letters == (options.file is not None):
        parser.error("give either a file or --dead-letters")
    if options.file and any((options.reason, options.asset, options.since, options.until)):
        parser.error("--reason, --asset, --since and --until need --dead-letters")
    if options.limit is not None and options.limit < 1:
        parser.error("--limit must be 1 or more")
    if options.rate is not None and options.rate <= 0:
        parser.error("--rate must be above 0")
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_json)
    sent, refused = _run(settings, options)
    print(f"sent {sent} records" + (f"; {refused} cannot be sent" if refused else ""))
    return 1 if refused else 0


def _run(settings: Settings, options: argparse.Namespace) -> tuple[int, int]:
    with ExitStack() as stack:
        messages: Iterable[Message]
        if options.dead_letters:
            chosen = DeadLetterFilter(
                topic=settings.kafka_topic_input_features,
                reason=options.reason,
                asset_id=options.asset,
                since=options.since and parse_timestamp(options.since, "--since"),
                until=options.until and parse_timestamp(options.until, "--until"),
            )
            engine = stack.enter_context(opened(settings))
            messages = islice(dead_letters(engine, chosen), options.limit)
        else:
            messages = from_file(
                options.file, options.shift_to_now, options.limit, format_of(options)
            )
        producer = clients.make_producer(settings, linger_ms=20)
        stack.callback(producer.close, timeout=10)
        return send(messages, producer, settings.kafka_topic_input_features, options.rate)


if __name__ == "__main__":
    run_command(main)
