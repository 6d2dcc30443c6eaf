"""A test leaves the process as it found it: the second of these follows on the first."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

from hypothesis import settings

NAME = "LEFT_BEHIND"
known = logging.getLogger("tests.known")


def test_one_sets_its_process_up_as_a_command_does(tmp_path: Path) -> None:
    os.environ[NAME] = "1"
    os.chdir(tmp_path)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    for name in ("", known.name, "tests.new"):
        one = logging.getLogger(name)
        one.setLevel(logging.CRITICAL)
        one.addHandler(logging.NullHandler())
    known.propagate, known.disabled = False, True
    assert not known.isEnabledFor(logging.ERROR)


def test_the_next_finds_nothing_of_it() -> None:
    assert NAME not in os.environ
    assert Path.cwd().is_dir()
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_IGN
    assert known.isEnabledFor(logging.WARNING)
    assert known.propagate
    assert logging.getLogger("tests.new").isEnabledFor(logging.WARNING)
    held = [*known.handlers, *logging.root.handlers]
    assert not any(type(one) is logging.NullHandler for one in held)


def test_drawn_examples_are_the_same_in_each_run_and_none_is_held_to_a_time() -> None:
    assert settings().derandomize
    assert settings().deadline is None
