"""Whether a freshly started service detects: ``ask.py URL`` waits for it and posts one reading.

Exits 0 when it answers 200, or 503 with `no_bundle` where no bundle was packed (that is said).
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

PATIENCE_S = 180
API = "/api/v1/anomalies"

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(url: str, content: object = None) -> tuple[int, Any]:
    """Status and JSON of a GET, or of a POST where there is content."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with _direct.open(request, timeout=30) as answer:
            return int(answer.status), json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait(url: str) -> float:
    """Wait until ``/health`` answers; returns the seconds it took."""
    started = time.monotonic()
    while True:
        try:
            if call(f"{url}/health")[0] == 200:
                return time.monotonic() - started
        except OSError as error:
            if time.monotonic() - started > PATIENCE_S:
                raise TimeoutError(f"{url}/health: {error}") from None
        time.sleep(0.2)


def main(url: str) -> int:
    print(f"      healthy {wait(url):.1f} s after its start")
    status, about = call(f"{url}{API}/status")
    features = next(iter(about["models"].values())).get("feature_names") or ["rms"]
    reading = {"asset_id": "CHECK", "features": dict.fromkeys(features, 1.0)}
    status, answer = call(f"{url}{API}/detect", reading)
    print(f"      POST /detect with {len(features)} features: {status} {json.dumps(answer)[:160]}")
    if status == 503 and not about["ready"]:
        print("      no bundle was packed: `python -m training.fit` before `make image` makes one")
        return 0
    return int(status != 200)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
