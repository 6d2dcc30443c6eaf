"""The service's log: BentoML's handler, as LOG_LEVEL and LOG_JSON have it, for all of our loggers.

BentoML lets its own loggers through at INFO, others at WARNING, whatever our settings say.
"""

from __future__ import annotations

import logging

from runtime import JsonFormatter

#: BentoML's name of its handler; only a process that serves has it.
HANDLER = "tracehandler"


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
