"""Replay: files and dead letters to a real broker."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from consumers.replay import from_file, main, send
from datasets import FileFormat
from tests.fixtures.records import plant

CSV = """asset_id,sensor_id,timestamp,rms,kurtosis
A,S1,2026-01-01T00:00:00Z,1.5,3
B,,2026-01-01T00:00:10Z,2.5,
"""


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "plant.csv"
    path.write_text(CSV)
    return path


def test_file_becomes_records_of_the_grouped_shape(csv):
    messages = list(from_file(csv, shift_to_now=False, limit=None))
    assert [message.key for message in messages] == [b"A", b"B"]
    assert orjson.loads(messages[1].value or b"") == {
        "asset_id": "B",
        "sensor_id": None,
        "features": {"rms": 2.5},
        "timestamp": "2026-01-01T00:00:10+00:00",
        "metadata": {"num_features": 1, "source": "plant.csv"},
    }


def test_shift_makes_the_newest_reading_now(csv):
    messages = list(from_file(csv, shift_to_now=True, limit=None))
    first, last = (
        datetime.fromisoformat(orjson.loads(message.value or b"")["timestamp"])
        for message in messages
    )
    assert last - first == timedelta(seconds=10)
    assert abs(last - datetime.now(UTC)) < timedelta(seconds=60)
    assert len(list(from_file(csv, shift_to_now=True, limit=1))) == 1


def test_rows_without_a_value_are_told(csv, capsys):
    csv.write_text(CSV + "C,,2026-01-01T00:00:20Z,,\n")
    assert len(list(from_file(csv, shift_to_now=False, limit=None))) == 2
    assert capsys.readouterr().out == "1 rows without any value are skipped\n"


class FakeProducer:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, topic, **message):
        self.sent.append(message)
        return self

    def get(self, timeout):
        return None

    def flush(self):
        pass


def test_a_file_in_another_form_is_read_by_the_same_options(tmp_path, capsys):
    path = tmp_path / "gas.csv"
    path.write_text("Date;Time;CO;T\n10/03/2004;18.00.00;2,6;-200\n13/03/2004;19.00.00;2;13,5\n")
    form = FileFormat(asset_id="AQ", null=["-200"])
    first, second = (orjson.loads(m.value or b"") for m in from_file(path, False, None, form))
    assert first["features"] == {"CO": 2.6}
    assert first["timestamp"] == "2004-03-10T18:00:00+00:00"
    assert (second["asset_id"], second["features"]) == ("AQ", {"CO": 2.0, "T": 13.5})
    assert "note: numbers are read with decimal commas" in capsys.readouterr().out


def test_rate_is_kept(csv):
    slept: list[float] = []
    messages = list(from_file(csv, shift_to_now=False, limit=None)) * 3
    assert send(messages, FakeProducer(), "in", rate=1000.0, sleep=slept.append) == (6, 0)
    assert len(slept) >= 1
    assert max(slept) <= 0.006


@pytest.mark.parametrize(
    "argv", [["--since", "2026-01-01"], ["--reason", "no_group"], ["--limit", "0"]]
)
def test_an_option_that_would_do_nothing_is_refused(csv, capsys, argv):
    with pytest.raises(SystemExit, match="2"):
        main([str(csv), *argv])
    assert argv[0] in capsys.readouterr().err


def test_replay_of_a_file_and_of_dead_letters(one_scene, scoring, tmp_path):
    stage = one_scene(scoring().url)
    path = tmp_path / "plant.csv"
    path.write_text(CSV)

    def replay(*options: str) -> str:
        command = [sys.executable, "-m", "consumers.replay", *options]
        done = subprocess.run(
            command, env=stage.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    stage.produce(plant(40, bad_every=10))
    assert replay(str(path)) == "sent 2 records\n"
    stage.drain()
    bad = stage.sql("SELECT count(*) FROM dead_letters WHERE reason = 'unknown_shape'")[0][0]
    assert replay("--dead-letters", "--reason", "unknown_shape") == f"sent {bad} records\n"
    stage.drain()
    assert stage.accounted() == 42 + bad
    refused = stage.bridge("--check")
    assert refused.wait() == 0, refused.text()
    assert refused.text().count(" ok ") == 5
