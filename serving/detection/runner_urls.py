"""Parse ``RUNNER_URLS``. Imports nothing large, because every process runs this."""

from __future__ import annotations

from urllib.parse import urlsplit

from errors import SettingsError

#: Copied from ``models.detectors.base``, whose import costs too much for the parent process.
MODEL_NAMES = ("isolation_forest", "one_class_svm", "lstm_autoencoder")


def parse_urls(text: str) -> dict[str, str]:
    """Parse ``RUNNER_URLS``: ``name=http://host:port``, comma separated.

    Raises
    ------
    SettingsError
        Names the invalid pair.
    """
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, url = pair.partition("=")
        parts = urlsplit(url.strip())
        if name.strip() not in MODEL_NAMES or parts.scheme != "http" or not parts.hostname:
            raise SettingsError(
                f"RUNNER_URLS: {pair!r} is not <name>=http://host:port, with a name out of "
                + ", ".join(MODEL_NAMES),
                field="RUNNER_URLS",
            )
        found[name.strip()] = url.strip()
    return found
