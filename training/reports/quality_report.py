"""Report the quality of training data: a table, and an HTML page with pictures."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from rich.console import Console

from training.cli.common import listed
from training.cli.printed_table import new_table
from training.data.checks import HIGH, LOW, MEDIUM, Finding
from training.data.quality import Quality, StreamQuality
from training.data.sources import TrainingData
from training.evaluation.plots import MAX_POINTS, drawable, in_font, new_figure

#: How much is printed and drawn; --json has everything.
_MAX_STREAMS = 30
_MAX_FINDINGS = 60
_MAX_NAMES = 5
_MAX_PICTURES = 20
_MAX_DRAWN = 12  # features in a picture
#: A single row, or about where it is.
_ONE = re.compile(r"(about )?\d+")
_COLOURS = {HIGH: "#2a7", MEDIUM: "#b80", LOW: "#c34"}


def print_quality(console: Console, quality: Quality) -> None:
    """Print the grades by stream, then each finding with its rows, worst first."""
    columns = ("asset", "readings", "every", "grade", "features High / Medium / Low")
    table = new_table(f"Data quality: {quality.grade}", columns, left=(columns[0], *columns[3:]))
    for stream in quality.streams[:_MAX_STREAMS]:
        every = "-" if stream.interval is None else f"{stream.interval:g} s"
        table.add_row(stream.name, f"{stream.readings:,}", every, stream.grade, _counts(stream))
    console.print(table)
    if len(quality.streams) > _MAX_STREAMS:
        console.print(f"... and {len(quality.streams) - _MAX_STREAMS} more")
    lines = sentences(quality)
    for line in lines[:_MAX_FINDINGS]:
        console.print(line)
    if len(lines) > _MAX_FINDINGS:
        console.print(f"... and {len(lines) - _MAX_FINDINGS} more findings (--json has them all)")
    for note in quality.notes:
        console.print(f"note: {note}")


def sentences(quality: Quality) -> list[str]:
    """Return one line per finding, worst first; streams with the same finding share a line."""
    order = {LOW: 0, MEDIUM: 1, HIGH: 2}
    found = sorted(quality.findings(), key=lambda item: order[item[2].grade])
    streams: dict[tuple[str, Finding, str], list[str]] = {}
    for stream, feature, finding in found:
        where = _where(finding.rows, stream.in_one_file)
        streams.setdefault((feature, finding, where), []).append(stream.name)
    return [
        f"{finding.grade}: {listed(names, _MAX_NAMES)}{f', {feature}' if feature else ''}:"
        f" {finding.text}{where}"
        for (feature, finding, where), names in streams.items()
    ]


def _where(rows: str, in_one_file: bool) -> str:
    """Return which rows a finding is about; of several files, which of the stream's readings."""
    if not rows:
        return ""
    what = "row" if in_one_file else "reading"
    return f" ({what if _ONE.fullmatch(rows) else f'{what}s'} {rows})"


def write_page(path: Path, quality: Quality, data: TrainingData) -> None:
    """Write one HTML file without links: the grades, the findings and a picture per stream.

    Parameters
    ----------
    path
        File to write.
    quality
        Result of :func:`training.data.quality.assess` for ``data``.
    data
        Its first streams and features are drawn.
    """
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Data quality</title>"
        "<style>body{font:15px sans-serif;max-width:70em;margin:2em auto}table{border-collapse:"
        "collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"
        "img{max-width:100%}</style>",
        f"<h1>Data quality: {_grade(quality.grade)}</h1><p>{escape(quality.source)}</p>",
        "<table><tr><th>asset<th>readings<th>every<th>grade<th>features High / Medium / Low",
    ]
    for stream in quality.streams:
        every = "-" if stream.interval is None else f"{stream.interval:g} s"
        parts.append(
            f"<tr><td>{escape(stream.name)}<td>{stream.readings:,}<td>{every}"
            f"<td>{_grade(stream.grade)}<td>{_counts(stream)}"
        )
    parts.append("</table><h2>Findings</h2><ul>")
    parts += [f"<li>{escape(line)}" for line in sentences(quality)]
    parts += [f"<li>note: {escape(note)}" for note in quality.notes]
    parts.append("</ul>")
    numbered = _numbered(data.feature_names[:_MAX_DRAWN])
    for number, stream in enumerate(quality.streams[:_MAX_PICTURES]):
        picture = base64.b64encode(_picture(data, number)).decode()
        parts.append(
            f"<h2>{escape(stream.name)}</h2>{numbered}"
            f'<img alt="{escape(stream.name)} over time" src="data:image/png;base64,{picture}">'
        )
    path.write_text("\n".join(parts) + "</html>\n", encoding="utf-8")


def _numbered(names: Sequence[str]) -> str:
    """Return the features that a picture shows by number, since its font lacks their characters."""
    shown = [f"#{i + 1} {name}" for i, name in enumerate(names) if in_font(name[:20], "") == ""]
    return f"<p>{escape(', '.join(shown))}</p>" if shown else ""


def _picture(data: TrainingData, number: int) -> bytes:
    """Draw the first features of a stream over time, as PNG."""
    stream = data.streams[number]
    names = data.feature_names[:_MAX_DRAWN]
    figure = new_figure(10, 0.6 + 1.1 * len(names))
    panels = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    step = max(1, len(stream.timestamps) // MAX_POINTS)
    for column, (axes, name) in enumerate(zip(panels, names, strict=True)):
        values = stream.values[::step, column]
        shown = np.where(np.abs(values) < 1e30, values, np.nan)
        axes.plot(drawable(stream.timestamps[::step]), shown, ".", color="#346", markersize=1.5)
        axes.set_ylabel(in_font(name[:20], f"#{column + 1}"), fontsize=7, rotation=0, ha="right")
        axes.tick_params(labelsize=7)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _counts(stream: StreamQuality) -> str:
    grades = [stream.grade_of(name) for name in stream.features]
    return " / ".join(str(grades.count(grade)) for grade in (HIGH, MEDIUM, LOW))


def _grade(grade: str) -> str:
    return f'<b style="color:{_COLOURS[grade]}">{grade}</b>'
