"""Log set-up of the bridge's entry points: text, or one JSON object a line."""

from __future__ import annotations

import logging

from runtime import JsonFormatter


def configure(level: str, as_json: bool) -> None:
    """Log to standard error. Only entry points call this."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Its lines repeat for every connection and attempt; what they mean is said once, by us
    # (consumers.broker.connection_errors).
    kafka = logging.getLogger("kafka")
    kafka.setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)
    kafka.propagate = level == "DEBUG"
    kafka.addHandler(logging.NullHandler())
    for name in ("httpx", "httpcore", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
