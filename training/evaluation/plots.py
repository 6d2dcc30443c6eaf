"""Draw pictures of a training run or a back-test; every function returns a matplotlib figure.

Figures are made without pyplot, so nothing global changes and no window opens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from datasets.types import named
from models.arrays import Floats, Indices, Times
from training.evaluation.measures import Scored, runs

COLOURS = {
    "isolation_forest": "#4477aa",
    "one_class_svm": "#66aa55",
    "lstm_autoencoder": "#cc8833",
    "final": "#222222",
    "alarm": "#cc3344",
    "fault": "#f2c6c6",
}
#: Maximum number of points of a timeline, about one per pixel; peaks are kept.
MAX_POINTS = 3000
MAX_PANELS = 8  # streams in one picture
#: Beyond, matplotlib's margins leave the calendar.
_FIRST_DRAWN = np.datetime64("1000-01-01", "us")
_LAST_DRAWN = np.datetime64("9000-01-01", "us")


def new_figure(width: float = 9, height: float = 4.5) -> Figure:
    """Return an empty figure, its size in inches."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def drawable(times: Times) -> Times:
    """Return times (n,) with those near the ends of the calendar, which cannot be drawn, as NaT."""
    out = times.astype("datetime64[us]")
    out[(out < _FIRST_DRAWN) | (out > _LAST_DRAWN)] = np.datetime64("NaT")
    return out


@lru_cache
def _glyphs() -> frozenset[int]:
    """Return the characters that the pictures' font has."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def in_font(text: str, instead: str | None = None) -> str:
    """Return a name as it can be drawn.

    Parameters
    ----------
    text
        The name, which is no formula whatever signs it has.
    instead
        Returned if the font lacks one of its characters; None: each of them becomes "?".
    """
    drawn = "".join(c if ord(c) in _glyphs() or c == "\n" else "?" for c in text)
    if drawn != text and instead is not None:
        return instead
    return drawn.replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without a date, so that the same data give the same bytes."""
    figure.savefig(path, metadata={"Software": None, "Creation Time": None})


def score_distributions(scored: Sequence[Scored], thresholds: Mapping[str, float]) -> Figure:
    """Draw histograms of the final score and of each detector's, with the thresholds."""
    series: dict[str, list[Floats]] = {"final": []}
    for one in scored:
        series["final"].append(one.final_score)
        for name, values in one.detectors.items():
            series.setdefault(name, []).append(values)
    figure = new_figure()
    axes = figure.add_subplot()
    bins = np.linspace(0, 1, 51).tolist()
    for name, parts in series.items():
        values = np.concatenate(parts) if parts else np.empty(0)
        values = values[np.isfinite(values)]
        if len(values):
            axes.hist(values, bins=bins, histtype="step", label=name, color=COLOURS.get(name),
                      linewidth=2 if name == "final" else 1)  # fmt: skip
    for name, at in thresholds.items():
        axes.axvline(at, color="grey", linestyle=":", linewidth=1)
        axes.annotate(name, (at, 0.98), xycoords=("data", "axes fraction"), rotation=90,
                      va="top", ha="right", fontsize=8, color="grey")  # fmt: skip
    axes.set(yscale="log", xlabel="score", ylabel="readings", title="Scores on held-out readings")
    axes.legend(frameon=False)
    return figure


def reliability(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Draw achieved against target alarm rate, with intervals; a perfect one is the diagonal."""
    figure = new_figure(5.5, 5)
    axes = figure.add_subplot()
    shown = [row for row in rows if np.isfinite(row["rate"])]
    targets = np.array([row["target"] for row in shown])
    rates = np.array([row["rate"] for row in shown])
    floor = min([*targets, *rates[rates > 0], 1e-4]) / 2
    low = np.maximum([row["low"] for row in shown], floor)
    high = np.maximum([row["high"] for row in shown], floor)
    if len(shown):
        axes.vlines(targets, low, high, color=COLOURS["final"], linewidth=1)
        axes.plot(targets, np.maximum(rates, floor), "o-", color=COLOURS["final"])
    axes.plot([floor, 1], [floor, 1], ":", color="grey")
    axes.set(xscale="log", yscale="log", xlabel="target alarm rate", ylabel="achieved",
             title="Reliability of the calibration")  # fmt: skip
    return figure


def loss_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the loss by epoch, one line per series."""
    figure = new_figure(6, 4)
    axes = figure.add_subplot()
    for name, values in history.items():
        axes.plot(np.arange(1, len(values) + 1), values, label=name)
    axes.set(xlabel="epoch", ylabel="loss", title="Training of the autoencoder")
    if history:
        axes.legend(frameon=False)
    return figure


def roc_pr(found: Mapping[str, Any]) -> Figure:
    """Draw the curves that :func:`training.evaluation.measures.curves` returns."""
    figure = new_figure(9, 4.5)
    left, right = figure.subplots(1, 2)
    left.plot(*found["roc"], color=COLOURS["final"])
    left.plot([0, 1], [0, 1], ":", color="grey")
    left.set(xlabel="false-alarm rate", ylabel="detected", title=f"ROC {found['roc_auc']:.3f}")
    right.plot(*found["pr"], color=COLOURS["final"])
    right.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02),
              title=f"Average precision {found['average_precision']:.3f}")  # fmt: skip
    return figure


def timeline(scored: Sequence[Scored], title: str) -> Figure:
    """Draw final score and threshold over time, one panel per stream; labelled faults are shaded.

    With more than MAX_PANELS streams, those with the most alarms are shown.
    """
    chosen = sorted(scored, key=lambda one: -int(one.is_anomaly.sum()))[:MAX_PANELS]
    order = {id(one): at for at, one in enumerate(scored)}
    chosen.sort(key=lambda one: order[id(one)])
    figure = new_figure(10, 0.8 + 1.5 * max(1, len(chosen)))
    panels = figure.subplots(max(1, len(chosen)), 1, squeeze=False)[:, 0]
    for axes, one in zip(panels, chosen, strict=False):
        _panel(axes, one, order[id(one)] + 1)
    hidden = len(scored) - len(chosen)
    figure.suptitle(in_font(title) + (f" ({hidden} quieter streams not shown)" if hidden else ""))
    return figure


def _panel(axes: Any, one: Scored, number: int) -> None:
    times = drawable(one.timestamps)
    kept = _kept(one.final_score)
    if one.labels is not None:
        for start, end in runs((one.labels == 1) & ~np.isnat(times)):
            axes.axvspan(times[start], times[end - 1], color=COLOURS["fault"], linewidth=0)
    axes.plot(times[kept], one.final_score[kept], color=COLOURS["final"], linewidth=0.7)
    axes.plot(times[kept], one.threshold[kept], color="grey", linestyle=":", linewidth=1)
    alarms = kept[one.is_anomaly[kept]]
    axes.plot(times[alarms], one.final_score[alarms], ".", color=COLOURS["alarm"], markersize=3)
    axes.set(ylim=(0, 1.02))
    name = named((one.asset_id, one.sensor_id))
    axes.set_ylabel(in_font(name, f"stream {number}"), fontsize=8)
    axes.tick_params(labelsize=7)


def _kept(values: Floats) -> Indices:
    """Return the indices of at most MAX_POINTS points: the highest of each stretch."""
    if len(values) <= MAX_POINTS:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), MAX_POINTS + 1).astype(int)
    filled = np.where(np.isfinite(values), values, -1.0)
    return np.array([a + int(np.argmax(filled[a:b])) for a, b in pairwise(edges) if b > a])
