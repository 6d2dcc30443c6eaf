"""The replay as a child: its command is one that it takes, its report is read from its log."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from consumers import replay
from deploy.processes import Child, Children
from deploy.replay_process import replay_command, sent, shift_of


@pytest.mark.parametrize(("rate", "limit"), [(0.0, None), (250.0, 7)])
def test_the_command_is_one_that_the_replay_takes(
    tmp_path: Path, rate: float, limit: int | None
) -> None:
    file = tmp_path / "plant.csv"
    command = replay_command(file, rate, limit)
    assert command[:3] == [sys.executable, "-m", replay.__name__]
    args = replay.arguments().parse_args(command[3:])
    assert args.shift_to_now
    assert (args.file, args.rate, args.limit) == (file, rate or None, limit)


def ended(folder: Path, program: str) -> Child:
    with Children(folder, dict(os.environ)) as children:
        child = children.start("replay", sys.executable, "-c", program)
        child.process.wait(20)
    return child


def test_what_was_sent_is_known_when_it_ended(tmp_path: Path) -> None:
    with Children(tmp_path, dict(os.environ)) as children:
        sender = children.start("replay", "sleep", "600")
        assert sent(sender) is None
    sender = ended(tmp_path, "print('times are moved by -12.5 s\\nsent 340 records')")
    assert sent(sender) == 340
    assert shift_of(sender) == timedelta(seconds=-12.5)


def test_a_replay_that_reported_nothing_sent_nothing(tmp_path: Path) -> None:
    sender = ended(tmp_path, "raise SystemExit('no such broker: sent 5 records')")
    assert sent(sender) == 0
    assert shift_of(sender) == timedelta()
