"""Log set-up of the bridge's entry points: text, or one JSON object a line."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, action, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        action = getattr(record, "action", None)
        if action:
            line["action"] = action
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str, as_json: bool) -> None:
    """Log to standard error. Only entry points call this."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Its lines repeat for every connection and attempt; what they mean is said once, by us
    # (consumers.overheard).
    kafka = logging.getLogger("kafka")
    kafka.setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)
    kafka.propagate = level == "DEBUG"
    kafka.addHandler(logging.NullHandler())
    for name in ("httpx", "httpcore", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
