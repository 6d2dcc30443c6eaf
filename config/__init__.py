"""Settings, read from the environment or ``.env`` and validated once at start.

Only entry points call :func:`load_settings` and pass the values on. The environment takes
precedence over ``.env``, and ``.env`` over the defaults of the sections. A variable's name is the
field's name in upper case.
"""

from config.kafka_settings import PublishMode
from config.loading import load_settings
from config.section import MAX_DAYS
from config.service_settings import JournalMode
from config.settings import Settings

__all__ = ["MAX_DAYS", "JournalMode", "PublishMode", "Settings", "load_settings"]
