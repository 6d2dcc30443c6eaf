"""The service by https with an authority of the plant's own, and never by way of a proxy."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from config import Settings
from consumers.bridge import check_pool
from consumers.scoring_client import HttpScorer
from deploy.exporter import service_status
from errors import SettingsError, Unavailable
from tests.fixtures.settings import given
from tests.integration.tls import Certificates, certificates

ROOT = Path(__file__).resolve().parents[3]


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"status": "healthy", "models": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def signed(tmp_path: Path) -> Certificates:
    return certificates(tmp_path / "plant")


@pytest.fixture
def url(signed: Certificates) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a plant whose hosts reach the internet by a proxy, which knows no neighbour."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)


def test_bridge_and_exporter_trust_the_authority_that_the_setting_names(
    url: str, signed: Certificates
) -> None:
    scorer = HttpScorer(given(service_url=url, service_cafile=signed.authority))
    scorer.bundle_version()
    scorer.close()
    assert (
        service_status(given(service_url=url, service_cafile=signed.authority))["status"]
        == "healthy"
    )


def test_another_authority_is_refused_and_the_setting_named(url: str, tmp_path: Path) -> None:
    for cafile in (None, certificates(tmp_path / "other").authority):
        scorer = HttpScorer(given(service_url=url, service_cafile=cafile))
        with pytest.raises(Unavailable, match="SERVICE_CAFILE"):
            scorer.bundle_version()
        scorer.close()
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            service_status(given(service_url=url, service_cafile=cafile))


def test_an_authority_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nonsense")
    for name in ("missing.pem", "no.pem"):
        with pytest.raises(SettingsError, match="SERVICE_CAFILE") as refused:
            HttpScorer(given(service_url="https://service", service_cafile=tmp_path / name))
        assert name in refused.value.message


def test_more_lanes_than_connections_are_refused_at_the_start() -> None:
    check_pool(Settings(_env_file=None))
    check_pool(Settings(_env_file=None, bridge_lanes=10))
    done = subprocess.run(
        [sys.executable, "-m", "consumers.bridge"],
        cwd=ROOT,
        env={**os.environ, "BRIDGE_LANES": "11"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: BRIDGE_LANES: 11 lanes")
    assert "DATABASE_POOL_SIZE + DATABASE_POOL_OVERFLOW allow 15" in done.stderr
