"""Pages and pictures of data with odd times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets import Stream
from training.data.quality import assess
from training.data.sources import TrainingData
from training.evaluation import plots
from training.evaluation.measures import Scored
from training.reports.quality_report import write_page

ENDS = ["0001-01-01", "9999-12-31T23:59:59", "1970-01-01"]


@pytest.mark.parametrize("end", ENDS)
def test_a_page_and_a_timeline_are_drawn_whatever_the_times(tmp_path: Path, end: str) -> None:
    times = np.datetime64("2024-03-15", "us") + np.arange(100) * np.timedelta64(1, "m")
    times[[3, 50]] = np.datetime64(end, "us")
    values = np.random.default_rng(0).normal(size=(100, 1))
    for at in (np.sort(times), np.full(100, np.datetime64(end, "us"))):
        labels = np.ones(100, np.int8)
        data = TrainingData(["vib"], [Stream("A", None, at, values, labels)], "x")
        write_page(tmp_path / "page.html", assess(data), data)
        scored = Scored(
            "A", None, at, np.zeros(100), np.ones(100), np.ones(100), np.zeros(100, bool), {},
            labels,
        )  # fmt: skip
        plots.save(plots.timeline([scored], "x"), tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size


@pytest.mark.filterwarnings("error")
def test_names_that_the_font_cannot_draw_are_numbered(tmp_path: Path) -> None:
    times = np.datetime64("2026-03-15", "us") + np.arange(100) * np.timedelta64(1, "m")
    values = np.random.default_rng(0).normal(size=(100, 3))
    labels = np.ones(100, np.int8)
    data = TrainingData(
        ["振动", "flow $x", "流量"], [Stream("泵一", None, times, values, labels)], "x"
    )
    write_page(tmp_path / "page.html", assess(data), data)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h2>泵一</h2><p>#1 振动, #3 流量</p><img" in page
    scored = Scored(
        "泵一", None, times, np.zeros(100), np.ones(100), np.ones(100), np.zeros(100, bool), {},
        labels,
    )  # fmt: skip
    plots.save(plots.timeline([scored], "组 1"), tmp_path / "x.png")
    assert plots.in_font("振 $1") == r"? \$1"
    assert plots.in_font("Öl °C [m³/h]", "#1") == "Öl °C [m³/h]"
