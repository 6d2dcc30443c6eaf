"""The quality of data: each kind of trouble is found, named and placed; good data are High."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from datasets import Stream
from training import inspect
from training.data.preparation import prepare
from training.data.quality import Quality, assess
from training.data.sources import TrainingData
from training.data.splits import prepared
from training.reports.quality_report import print_quality, sentences, write_page

N = 2400
START = np.datetime64("2026-01-01", "us")


def daily(n: int = N, seed: int = 0) -> np.ndarray:
    """A sensor with a daily cycle of 96 readings and noise: (n,)."""
    random = np.random.default_rng(seed)
    return 60 + 4 * np.sin(np.arange(n) / 96 * 2 * np.pi) + random.normal(size=n)


def data(*columns: np.ndarray, times: np.ndarray | None = None, asset: str = "P1") -> TrainingData:
    n = len(columns[0])
    if times is None:
        times = START + np.arange(n) * np.timedelta64(900, "s")
    names = [f"f{i}" for i in range(len(columns))]
    return TrainingData(names, [Stream(asset, None, times, np.column_stack(columns))], "made")


def kinds(quality: Quality) -> dict[str, str]:
    return {finding.kind: finding.grade for _, _, finding in quality.findings()}


def only(quality: Quality) -> tuple[str, str, str]:
    ((_, _, finding),) = list(quality.findings())
    return finding.grade, finding.kind, finding.rows


def changed(change: Callable[[np.ndarray], None]) -> np.ndarray:
    x = daily()
    change(x)
    return x


def put(at: slice | list[int], value: float) -> Callable[[np.ndarray], None]:
    def act(x: np.ndarray) -> None:
        x[at] = value

    return act


@pytest.mark.parametrize("seed", range(10))
def test_ordinary_data_are_high_and_nothing_is_found(seed: int) -> None:
    quality = assess(data(daily(seed=seed), np.random.default_rng(seed).gamma(3, size=N)))
    assert quality.grade == "High"
    assert list(quality.findings()) == []
    assert not quality.anything_low


@pytest.mark.parametrize(
    ("x", "grade", "kind", "rows"),
    [
        (np.full(N, 7.0), "Low", "constant", ""),
        (np.where(np.arange(N) % 50 == 3, 8.0, 7), "Medium", "nearly_constant", ""),
        (changed(put(slice(500, 560), 61.0)), "Medium", "stuck", "501-560"),
        (changed(put([700, 1500], 120.0)), "Medium", "spikes", "701, 1501"),
        (changed(put(slice(100, 112), -999)), "Medium", "garbage", "101-112"),
        (changed(put([9], 65535)), "Medium", "garbage", "10"),
        (changed(put(slice(0, 300), np.nan)), "Medium", "missing", "1-300"),
        (changed(put(slice(0, 1500), np.nan)), "Low", "missing", "1-1500"),
        (12_000 + np.arange(N) / 60 + 0.001, "Medium", "counter", ""),
        (np.arange(N) + 5.0, "Low", "row_number", ""),
        (np.round(daily() / 6), "Medium", "quantised", ""),
        ((np.arange(N) // 40 % 2).astype(float), "High", "two_levels", ""),
        (daily() + 60 * (np.arange(N) > 1500), "Medium", "level_shift", "about 1501"),
        (daily() / 8 + np.arange(N) / 100, "Medium", "long_cycle", ""),
        (daily() + 900 * (np.arange(N) // 60 % 2), "High", "modes", ""),
    ],
)  # fmt: skip
def test_each_kind_of_trouble_is_found_named_and_placed(
    x: np.ndarray, grade: str, kind: str, rows: str
) -> None:
    assert only(assess(data(x))) == (grade, kind, rows)


def test_rows_of_zeros_are_one_finding_and_no_defect_of_a_sensor() -> None:
    columns = [daily(), 0.1 * daily(seed=1)]
    for column in columns:
        for begin in (100, 900, 2000):
            column[begin : begin + 4] = 0.0
    assert only(assess(data(*columns))) == ("Medium", "zeros", "101-104, 901-904, 2001-2004")


@pytest.mark.parametrize(("length", "rows"), [(1, "901"), (4, "901-904"), (40, "901-940")])
def test_a_single_run_of_zeros_is_named(length: int, rows: str) -> None:
    columns = [daily(), 0.1 * daily(seed=1)]
    for column in columns:
        column[900 : 900 + length] = 0.0
    assert only(assess(data(*columns))) == ("Medium", "zeros", rows)


def test_zeros_are_measurements_where_all_features_pass_through_zero() -> None:
    columns = [np.round(daily(seed=i) - 60) for i in range(2)]
    assert "zeros" not in kinds(assess(data(*columns)))


def test_rows_of_zeros_of_streams_that_alternate_in_a_file_are_ranges_of_their_stream() -> None:
    made = data(daily(), 0.1 * daily(seed=1))
    for begin in (100, 900, 2000):
        made.streams[0].values[begin : begin + 4] = 0.0
    other = data(daily(seed=2), daily(seed=3), asset="P2").streams[0]
    rows = np.arange(1, 2 * N, 2)
    streams = [replace(made.streams[0], rows=rows), replace(other, rows=rows + 1)]
    quality = assess(TrainingData(["f0", "f1"], streams, "made"))
    assert only(quality) == ("Medium", "zeros", "201-207, 1801-1807, 4001-4007")


def test_values_scattered_at_random_are_named_where_they_are() -> None:
    rng = np.random.default_rng(4)
    made = [data(daily(seed=i), asset=f"P{i}").streams[0] for i in range(3)]
    here = rng.random(N) < 0.1
    made[1].values[here, 0] = rng.uniform(-1e6, 1e6, here.sum())
    (found,) = assess(TrainingData(["f0"], made, "made")).findings()
    stream, _, finding = found
    assert (stream.name, finding.kind, finding.grade) == ("P1", "scattered", "Medium")
    assert finding.text.startswith(f"{here.sum()} values from -")
    assert finding.rows.startswith(str(np.flatnonzero(here)[0] + 1))


@pytest.mark.parametrize(("streams", "found"), [(3, ["P1"]), (2, [])])
def test_a_stream_in_another_unit_than_the_others_is_named(streams: int, found: list[str]) -> None:
    made = [data(daily(seed=i), asset=f"P{i}").streams[0] for i in range(streams)]
    made[1].values[:] *= 1000
    quality = assess(TrainingData(["f0"], made, "made"))
    assert [stream.name for stream, _, finding in quality.findings()
            if (finding.kind, finding.grade) == ("other_unit", "Medium")] == found  # fmt: skip


def test_machines_of_several_sizes_are_in_one_unit() -> None:
    made = [data(2.0**i * daily(seed=i), asset=f"P{i}").streams[0] for i in range(9)]
    assert list(assess(TrainingData(["f0"], made, "made")).findings()) == []


def steps(seconds: np.ndarray) -> np.ndarray:
    return START + np.concatenate([[0], np.cumsum(seconds)[:-1]]) * np.timedelta64(1, "s")


@pytest.mark.parametrize(
    ("seconds", "kind", "rows"),
    [
        (np.where(np.arange(N) == 700, 90_000, 60), "gaps", "702"),
        (np.where(np.arange(N) % 3 == 0, 60, 10), "irregular", ""),
        (np.where(np.arange(N) == 700, 0, 60), "equal_times", "702"),
    ],
)
def test_trouble_with_times(seconds: np.ndarray, kind: str, rows: str) -> None:
    assert only(assess(data(daily(), times=steps(seconds))))[1:] == (kind, rows)


def test_too_few_readings_are_low_or_medium() -> None:
    assert assess(data(daily(12))).streams[0].grade == "Low"
    assert kinds(assess(data(daily(300)))) == {"too_few": "Medium"}


def test_a_stream_is_low_when_most_of_its_features_are_and_so_is_the_whole() -> None:
    flat = np.full(N, 1.0)
    assert assess(data(daily(), daily(seed=1), flat)).streams[0].grade == "Medium"
    assert assess(data(daily(), flat, flat + 1)).grade == "Low"


def test_streams_of_different_rates_are_said() -> None:
    fast = Stream("FAST", None, START + np.arange(N) * np.timedelta64(1, "s"), daily()[:, None])
    slow = Stream("SLOW", None, START + np.arange(N) * np.timedelta64(60, "s"), daily()[:, None])
    quality = assess(TrainingData(["f"], [fast, slow], "made"))
    assert "sampling differs: FAST every 1 s, SLOW every 60 s" in quality.notes[0]
    assert [stream.interval for stream in quality.streams] == [1, 60]


def test_nothing_is_changed_and_all_is_json() -> None:
    made = data(changed(put([9], 65535)), np.full(N, np.nan))
    before = made.streams[0].values.copy()
    quality = assess(made)
    np.testing.assert_array_equal(made.streams[0].values, before)
    content = json.loads(json.dumps(quality.to_dict()))
    assert content["streams"][0]["features"]["f0"]["findings"][0]["rows"] == "10"


def test_the_page_holds_pictures_and_escapes_names(tmp_path: Path) -> None:
    made = data(daily(), asset="<script>alert(1)</script>")
    write_page(tmp_path / "q.html", assess(made), made)
    text = (tmp_path / "q.html").read_text()
    assert "<script>" not in text
    assert "data:image/png;base64," in text


def test_many_findings_are_bounded_on_the_console() -> None:
    flat = [np.full(N, 1.0)] * 100
    console = Console(record=True, width=120)
    print_quality(console, assess(data(*flat)))
    assert "and 40 more findings" in console.export_text()


def test_what_is_true_of_many_assets_is_said_once() -> None:
    times = START + np.arange(20) * np.timedelta64(60, "s")
    short = [Stream(f"T{i:03d}", None, times, np.ones((20, 1))) for i in range(500)]
    lines = sentences(assess(TrainingData(["f"], short, "x")))
    assert "Low: T000, T001, T002, T003, T004 and 495 more: 20 readings are too few" in lines[0]
    assert len(lines) == 2  # all constant, too


def test_readings_of_a_counter_with_holes_are_used() -> None:
    hours = 100 + np.arange(N) / 60
    counted = hours.copy()
    counted[500:520] = np.nan
    made = data(daily(), counted)
    found = prepare(made.streams, made.feature_names, imputed=lambda width: 1)
    assert found.feature_names == ["f0", "f1"]
    assert len(found.streams[0].timestamps) == N
    assert "20 training readings lack a few values" in found.notes[0]
    found = prepared(made.streams, [2000], made.feature_names, "P1", lambda width: 1)
    assert len(found.streams[0].timestamps) == N


def write(path: Path, low: bool) -> None:
    lines = ["asset_id,timestamp,f,g"]
    for i, value in enumerate(daily(900)):
        lines.append(f"P1,{START + np.timedelta64(60 * i, 's')},{value:.4f},{1 if low else -value}")
    path.write_text("\n".join(lines))


@pytest.mark.parametrize(("low", "code"), [(True, 1), (False, 0)])
def test_the_command_prints_writes_and_is_strict_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], low: bool, code: int
) -> None:
    write(tmp_path / "x.csv", low)
    argv = ["--data", str(tmp_path / "x.csv")]
    assert inspect.main([*argv, "--json", str(tmp_path / "q.json")]) == 0
    printed = capsys.readouterr().out
    assert ("Low: P1, g: constant: 1" in printed) == low
    assert json.loads((tmp_path / "q.json").read_text())["grade"] == ("Medium" if low else "High")
    assert inspect.main([*argv, "--strict"]) == code
    assert inspect.main([*argv, "--page", str(tmp_path / "none" / "x.html")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_rows_are_those_of_the_file_or_else_the_readings_of_the_stream() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 1))
    values[[70, 200], 0] = np.nan
    at = np.datetime64("2026-01-01", "us") + np.arange(400) * np.timedelta64(60, "s")
    at[300:] += np.timedelta64(1, "D")
    rows = np.arange(11, 411)
    one = Stream("A", None, at, values, None, rows)
    joined = Stream("B", None, at, values)
    lines = sentences(assess(TrainingData(["f"], [one, joined], "x")))
    assert "Medium: A: 1 gap, the longest 24.02 h (row 311)" in lines
    assert "Medium: B: 1 gap, the longest 24.02 h (reading 301)" in lines
    assert "High: A, f: missing in 0.50% of the readings (rows 81, 211)" in lines
    assert "High: B, f: missing in 0.50% of the readings (readings 71, 201)" in lines


@pytest.mark.parametrize("n", [60, 80, 100, 200])
def test_noise_of_few_readings_is_no_operating_mode(n: int) -> None:
    random = np.random.default_rng(0)
    found = [kinds(assess(data(random.uniform(size=n)))) for _ in range(60)]
    assert sum("modes" in each for each in found) <= 1
    low_and_high = 5 * (np.arange(200) // 20 % 2) + random.uniform(size=200)
    assert "modes" in kinds(assess(data(low_and_high)))
