"""Check that a freshly started service detects: ``ask.py URL [BUNDLE]`` posts one reading.

With the name of a packed bundle the answer must be 200; without one it must be 503 (no model).
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

PATIENCE_S = 180  # a first start also migrates and loads a bundle
API = "/api/v1/anomalies"

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(url: str, content: object = None) -> tuple[int, Any]:
    """Return status and JSON of a GET, or of a POST if there is content."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with _direct.open(request, timeout=30) as answer:
            return int(answer.status), json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait(url: str) -> float:
    """Wait until ``url`` answers 200; return the seconds it took."""
    started = time.monotonic()
    while True:
        try:
            with _direct.open(url, timeout=5) as answer:
                if answer.status == 200:
                    return time.monotonic() - started
        except OSError:
            pass  # not yet
        if time.monotonic() - started > PATIENCE_S:
            raise TimeoutError(f"{url} did not answer 200 within {PATIENCE_S} s")
        time.sleep(0.2)


def main(url: str, bundle: str) -> int:
    """Wait for the service, post one reading and check the answer; return the exit code."""
    print(f"      healthy {wait(f'{url}/health'):.1f} s after its start")
    if bundle:
        print(f"      ready {wait(f'{url}/readyz'):.1f} s later, with {bundle}")
    print(f"      version {call(f'{url}/health')[1]['version']}")
    status, about = call(f"{url}{API}/status")
    features = next(iter(about["models"].values())).get("feature_names") or ["rms"]
    reading = {"asset_id": "CHECK", "features": dict.fromkeys(features, 1.0)}
    status, answer = call(f"{url}{API}/detect", reading)
    print(f"      POST /detect with {len(features)} features: {status} {json.dumps(answer)[:160]}")
    if not bundle:
        print("      no bundle was packed: `python -m training.fit` before `make image` makes one")
    return int(status != (200 if bundle else 503))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "".join(sys.argv[2:])))
