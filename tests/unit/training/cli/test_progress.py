"""Progress on a terminal, elsewhere, and out of another process."""

from __future__ import annotations

import io
import queue
from types import SimpleNamespace

import pytest
from rich.console import Console

from training.cli.progress import ProgressDisplay, pump


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=160), out


def test_a_terminal_gets_bars_with_figures_and_time_left() -> None:
    drawn, out = console(terminal=True)
    with ProgressDisplay(drawn) as display:
        report = display.part("pumps")
        report("lstm_autoencoder", 1, 4, {"train_loss": 0.25})
        report("lstm_autoencoder", 4, 4, {"train_loss": 0.125})
    assert "pumps: lstm_autoencoder" in out.getvalue()
    assert "4/4" in out.getvalue()
    assert "train_loss 0.125" in out.getvalue()


def test_elsewhere_each_stage_is_a_line() -> None:
    drawn, out = console(terminal=False)
    with ProgressDisplay(drawn) as display:
        display.part("")("calibration", 1, 2, {})
        display.part("")("calibration", 2, 2, {})
    lines = out.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("calibration: 2 done in ")


def test_a_stage_done_again_is_timed_from_its_own_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([0.0, 1.0, 2.0, 60.0, 60.5, 61.0])
    clock = SimpleNamespace(monotonic=lambda: next(now))
    monkeypatch.setattr("training.cli.progress.time", clock)
    drawn, out = console(terminal=False)
    with ProgressDisplay(drawn) as display:
        for done in (1, 2, 1, 2):
            display.part("")("calibration", done, 2, {})
    assert [line.split(" in ")[1] for line in out.getvalue().splitlines()] == ["2.0 s", "1.0 s"]


def test_a_quiet_board_draws_nothing_and_still_tells_the_listener() -> None:
    drawn, out = console(terminal=True)
    heard: list[tuple[str, str, int, int]] = []
    with ProgressDisplay(drawn, lambda *step: heard.append(step[:4]), quiet=True) as display:
        display.part("a")("fit", 1, 3, {})
    assert heard == [("a", "fit", 1, 3)]
    assert "fit" not in out.getvalue()


def test_steps_come_out_of_a_queue_until_it_says_stop() -> None:
    drawn, _ = console(terminal=False)
    heard: list[str] = []
    steps: queue.Queue[object] = queue.Queue()
    carrier = pump(steps, ProgressDisplay(drawn, lambda part, *rest: heard.append(part)))
    steps.put(("a", "fit", 1, 3, {}))
    steps.put(("b", "fit", 1, 3, {}))
    steps.put(None)
    carrier.join(10)
    assert not carrier.is_alive()
    assert heard == ["a", "b"]
