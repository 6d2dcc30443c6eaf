"""The small scripts beside the Dockerfile: health check, and what pip is told."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.image.ask import call
from deploy.image.health import healthy
from deploy.image.pipconf import local_paths, settings

LISTING = """\
:env:.default-timeout='180'
:env:.index-url='https://one.example/simple'
:env:.disable-pip-version-check='1'
global.index-url='https://two.example/simple'
global.find-links='/wheels file:///more/wheels'
install.cert='/ca.pem'
"""


class Answers(http.server.BaseHTTPRequestHandler):
    """200 with JSON below /ok, else 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/ok") else 503)
        self.end_headers()
        self.wfile.write(b'{"said": true}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_healthy_only_when_answered_without_error(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert healthy(f"{url}/ok")
    assert not healthy(f"{url}/busy")
    assert "503" in capsys.readouterr().err


def test_unreachable_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert not healthy("http://127.0.0.1:1/health")
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_call_gives_status_and_json_of_errors_too(url: str) -> None:
    assert call(f"{url}/ok") == (200, {"said": True})
    assert call(f"{url}/busy", {"a": 1}) == (503, {"said": True})


def test_pip_settings_are_those_that_say_where_and_the_environment_wins() -> None:
    assert settings(LISTING) == {
        "timeout": "180",
        "index-url": "https://one.example/simple",
        "find-links": "/wheels file:///more/wheels",
        "cert": "/ca.pem",
    }


def test_local_paths_are_the_paths_that_exist(tmp_path: Path) -> None:
    (tmp_path / "index/simple").mkdir(parents=True)
    (tmp_path / "ca.pem").touch()
    options = {
        "index-url": "https://one.example/simple",
        "extra-index-url": f"file://{tmp_path}/index/simple",
        "find-links": f"/not/there {tmp_path}/ca.pem",
    }
    assert local_paths(options) == [f"{tmp_path}/index", f"{tmp_path}/ca.pem"]
