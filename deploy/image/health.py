"""Check the container's health: ``health.py [URL]`` exits 0 if the URL answers with 2xx.

Without a URL it checks the service's ``/health`` on the port of the settings. It imports only the
standard library, because it is started every few seconds.
"""

from __future__ import annotations

import os
import sys
import urllib.request

TIMEOUT_S = 4  # below the time-out of the image's health check

# Ignore proxies of the container's environment: the address is local.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def healthy(url: str) -> bool:
    """Return whether ``url`` answers within `TIMEOUT_S` and without an error."""
    try:
        with _direct.open(url, timeout=TIMEOUT_S) as answer:
            return 200 <= int(answer.status) < 300
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return False


if __name__ == "__main__":
    default = f"http://127.0.0.1:{os.environ.get('SERVICE_PORT', '8084')}/health"
    sys.exit(not healthy(sys.argv[1] if len(sys.argv) > 1 else default))
