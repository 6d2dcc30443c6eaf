"""The service's log: BentoML's handler, as LOG_LEVEL and LOG_JSON have it, for all of our loggers.

BentoML lets its own loggers through at INFO, others at WARNING, whatever our settings say.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson

#: BentoML's name of its handler; only a process that serves has it.
HANDLER = "tracehandler"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str, as_json: bool) -> None:
    """Bring the settings into force; nothing happens in a process that does not serve."""
    handlers = [h for h in logging.getLogger().handlers if h.name == HANDLER]
    if not handlers:
        return
    for name in ("bentoml", "db", "models"):
        logging.getLogger(name).setLevel(level)
    if as_json:
        for handler in handlers:
            handler.setFormatter(JsonFormatter())
