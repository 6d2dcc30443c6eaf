"""Show the quality benchmark's rows as tables and a plot, with the required values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

OURS = "ours"

#: Required value of each of our figures; the sign gives the direction.
REACH = {
    ("SKAB valve1", "f1"): ">= 0.86",
    ("SKAB valve1", "false_alarm"): "<= 0.10",
    ("SKAB valve1", "missed"): "<= 0.18",
    ("C-MAPSS FD001", "falsely alarmed"): "<= 0.05",
    ("C-MAPSS FD001", "detected"): ">= 1.00",
    ("C-MAPSS FD001", "median lead"): ">= 80",
    ("SKAB anomaly-free", "rate / 0.01"): "<= 2.00",
    ("SKAB anomaly-free", "rate / 0.001"): "<= 3.00",
    ("SKAB anomaly-free", "steps seen at 0.001"): ">= 0.75",
    ("simulated faults", "cause named, single sensor"): ">= 0.90",
    ("simulated faults", "one event a fault"): ">= 0.90",
    ("asd", "average precision"): ">= 0.28",
    ("asd", "events at .1 % false"): ">= 16",
    ("asd", "own alarms: events"): ">= 14",
    ("asd", "own alarms: false per 1,000"): "<= 1.5",
    ("smd", "average precision"): ">= 0.80",
    ("smd", "own alarms: false per 1,000"): "<= 3",
    ("inputs", "01_clean: F1"): ">= 0.85",
    ("ims", "first of 5 alarms in a row"): "480 .. 620",
    ("ims", "alarmed from row 650 on"): ">= 0.95",
    ("air quality", "air_quality_blanks: alarms per 1,000"): "<= 5",
    ("air quality", "air_quality_minus200: alarms per 1,000"): "<= 5",
    ("air quality", "difference"): "<= 1",
    ("air quality", "air_quality_blanks: 48-hour steps seen"): ">= 0.80",
    ("air quality", "air_quality_minus200: 48-hour steps seen"): ">= 0.80",
    ("lasting shift", "one persistent event"): ">= 0.95",
    ("lasting shift", "second fault has its own event"): ">= 0.90",
    ("fit of 100,000 x 24", "ratio"): "<= 2.5",
    ("FD002", "falsely alarmed"): "<= 0.04",
    ("FD002", "alarmed in the last 30 cycles"): ">= 0.65",
    **{
        ("contamination", f"{share}%: events kept"): f">= {least}"
        for share, least in ((1, 0.95), (2, 0.9), (5, 0.8), (10, 0.6))
    },
    **{("contamination", f"{share}%: alarms / 0.001"): "<= 2" for share in (0, 1, 2, 5, 10)},
    **{
        (name, f"rate / {budget}"): f"<= {bound}"
        for name in ("simulated, normal", "simulated, slow ramp")
        for budget, bound in (("0.01", "1.50"), ("0.001", "2.00"), ("0.0001", "3.00"))
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one method on one data set, for one seed; rates may have an interval."""

    data: str
    method: str
    measure: str
    value: float
    low: float | None = None
    high: float | None = None


Key = tuple[str, str, str]


def collect(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    """Group the rows of the seeds by (data, method, measure), in order of first appearance."""
    out: dict[Key, list[Row]] = {}
    for row in rows:
        out.setdefault((row.data, row.method, row.measure), []).append(row)
    return out


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table per data set: measures as rows, methods as columns.

    Cells have the mean and half the range, and the mean of interval ends in brackets, if any.
    """
    found = collect(rows)
    parts = []
    for data in dict.fromkeys(key[0] for key in found):
        methods = list(dict.fromkeys(m for d, m, _ in found if d == data))
        measures = list(dict.fromkeys(m for d, _, m in found if d == data))
        seeds = max(len(v) for key, v in found.items() if key[0] == data)
        head = [f"{data} ({seeds} seed{'s' * (seeds > 1)})", "reach", *methods]
        lines = [head, ["---"] * len(head)]
        for measure in measures:
            cells = [_cell(found.get((data, method, measure), [])) for method in methods]
            lines.append([measure, REACH.get((data, measure), ""), *cells])
        parts.append(_aligned(lines))
    return "\n\n".join(parts)


def _cell(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    values = [row.value for row in rows]
    text = _short(float(np.mean(values)))
    if len(values) > 1:
        text += f" +- {_short((max(values) - min(values)) / 2)}"
    lows = [row.low for row in rows if row.low is not None]
    highs = [row.high for row in rows if row.high is not None]
    if lows and highs:
        text += f" [{_short(float(np.mean(lows)))}, {_short(float(np.mean(highs)))}]"
    return text


def _short(value: float) -> str:
    digits = 0 if abs(value) >= 20 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plot a panel per data set: every method's mean with its range over the seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = collect(rows)
    panels = list(dict.fromkeys(key[0] for key in found))
    heights = [sum(key[0] == data for key in found) for data in panels]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(10, 0.22 * sum(heights) + len(panels)), squeeze=False,
        height_ratios=heights, layout="constrained",
    )  # fmt: skip
    for data, ax in zip(panels, axes[:, 0], strict=True):
        mine = {key: [r.value for r in v] for key, v in found.items() if key[0] == data}
        labels = [f"{measure} · {method}" for _, method, measure in mine]
        means = [float(np.mean(v)) for v in mine.values()]
        half = [(max(v) - min(v)) / 2 for v in mine.values()]
        colours = ["tab:blue" if key[1] == OURS else "lightgrey" for key in mine]
        ax.barh(labels, means, xerr=half, color=colours)
        ax.set_xscale("symlog", linthresh=0.1)
        ax.tick_params(labelsize=7)
        ax.set_title(data, fontsize=9)
        ax.invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
