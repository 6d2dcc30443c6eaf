"""Show progress: bars on a terminal, plain lines elsewhere.

Parts trained in other processes report through a queue. A listener receives every step; a training
job writes them into its row.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from models.detectors.base import Progress as Report

#: ``listener(part, stage, done, total, figures)``
Listener = Callable[[str, str, int, int, dict[str, float]], None]

_MAX_BARS = 12  # of more, those of completed stages are hidden


class ProgressDisplay:
    """Show a bar for each stage of each part (group or asset); thread-safe.

    Parameters
    ----------
    console : rich.console.Console
        Where to draw: standard error, so that standard output has results only.
    listener : callable, optional
        Also called at every step.
    quiet : bool
        Draw nothing.
    """

    def __init__(
        self, console: Console, listener: Listener | None = None, *, quiet: bool = False
    ) -> None:
        self._console = console
        self._listener = listener
        self._plain = not console.is_terminal and not quiet
        self._lock = threading.Lock()
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._started: dict[tuple[str, str], float] = {}
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or self._plain,
        )

    def __enter__(self) -> ProgressDisplay:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()

    def part(self, name: str) -> Report:
        """Return the ``progress`` callable of a part; the only part has the name ``""``."""

        def report(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
            self.step(name, stage, done, total, figures)

        return report

    def step(self, part: str, stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        """Show one step.

        Parameters
        ----------
        part, stage
            Group or asset, and its stage; each pair has one bar.
        done, total
            Progress of the stage.
        figures
            Figures by name, shown beside the bar.
        """
        with self._lock:
            self._draw(part, stage, done, total, figures)
        if self._listener is not None:
            self._listener(part, stage, done, total, figures)

    def note(self, text: str) -> None:
        """Print a line that stays above the bars."""
        self._console.print(text, highlight=False)

    def _draw(
        self, part: str, stage: str, done: int, total: int, figures: dict[str, float]
    ) -> None:
        key = (part, stage)
        label = f"{part}: {stage}" if part else stage
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        began = self._started.setdefault(key, time.monotonic())
        if self._plain:
            if done >= total:
                took = time.monotonic() - self._started.pop(key, began)  # a stage may run again
                self._console.print(f"{label}: {total} done in {took:.1f} s  {shown}".rstrip())
            return
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(label, total=total, figures="")
        # with many parts, hide the bars of completed stages
        shows = done < total or len(self._tasks) <= _MAX_BARS
        self._bars.update(
            self._tasks[key], completed=done, total=total, figures=shown, visible=shows
        )


def pump(queue: Any, display: ProgressDisplay) -> threading.Thread:
    """Start a thread that passes steps ``(part, stage, done, total, figures)`` to the display.

    It ends when it reads None.
    """

    def carry() -> None:
        while (step := queue.get()) is not None:
            display.step(*step)

    thread = threading.Thread(target=carry, name="training progress", daemon=True)
    thread.start()
    return thread
