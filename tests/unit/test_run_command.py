"""What a command says of a file or port that it cannot open."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from errors import SettingsError
from runtime import FAILED, run_command, serve_metrics


def test_a_file_that_cannot_be_written_is_named_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing" / "plant.csv"
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: int(path.write_text("")))
    assert ended.value.code == FAILED
    assert capsys.readouterr().err == f"error: {path}: No such file or directory\n"


def full_disk() -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command(full_disk)
    assert capsys.readouterr().err == "error: No space left on device\n"


def reset() -> int:
    raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ConnectionResetError):
        run_command(reset)


def test_a_metrics_port_in_use_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"NOTIFY_METRICS_PORT: port {port}: .*in use"):
            serve_metrics(port, CollectorRegistry(), "NOTIFY_METRICS_PORT")
    with pytest.raises(SettingsError, match=r"--port: port 99999: .*0-65535"):
        serve_metrics(99999, CollectorRegistry(), "--port")
