"""Whole exports of plants are read, and refused in one sentence whatever is done to them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import Load, gas_sensor, readings, scada, table


def test_the_export_of_a_wind_turbine(load: Load) -> None:
    data = load(scada(), asset_id="T1")
    assert data.feature_names[2] == "Wind Direction (°)"
    times = data.streams[0].timestamps
    assert times[:2].tolist() == [datetime(2018, 1, 1), datetime(2018, 1, 1, 0, 10)]
    assert not np.isnan(data.streams[0].values).any()


def test_the_export_of_a_gas_sensor(load: Load) -> None:
    data = load(gas_sensor(), asset_id="AQ", null=["-200"])
    assert data.feature_names == ["CO(GT)", "PT08.S1(CO)", "T", "AH"]
    stream = data.streams[0]
    assert len(stream.timestamps) == 300
    assert stream.timestamps[6].item() == datetime(2004, 3, 11)
    assert np.isnan(stream.values).all(axis=1).sum() == len(range(4, 300, 9))
    assert "20 rows are empty and are left out" in data.notes


def test_runs_to_failure_as_text_without_names(load: Load) -> None:
    random = np.random.default_rng(0)
    lines = [
        f"{unit} {cycle} " + " ".join(f"{v:.4f}" for v in random.normal(500, 5, 24)) + "  "
        for unit in (1, 2) for cycle in range(1, 31)
    ]  # fmt: skip
    data = load(
        "\n".join(lines) + "\n", "txt", header=False, time_unit="row",
        columns={"asset_id": "1", "timestamp": "2"}, exclude="3,4,5",
    )  # fmt: skip
    assert [(s.asset_id, s.values.shape) for s in data.streams] == [
        ("1", (30, 21)),
        ("2", (30, 21)),
    ]


def test_a_test_rig_with_two_kinds_of_labels(load: Load) -> None:
    text = "datetime;Accelerometer1RMS;Current;anomaly;changepoint\n" + "".join(
        f"2020-03-09 10:14:{i:02d};0.{i};{i};{float(i > 20)};0.0\n" for i in range(10, 50)
    )
    data = load(text, asset_id="rig", exclude="changepoint")
    assert data.feature_names == ["Accelerometer1RMS", "Current"]
    assert data.streams[0].labels is not None
    assert data.streams[0].labels.sum() == 29
    assert any("'anomaly' is read as label" in note for note in data.notes)


JUNK = (
    b",", b";", b'"', b"\n", b"\x00", b"\xff", b"NaN", b"-", b"1e400", b"Bad", b" ", b"\t",
    b"9" * 20, b"inf", b"-999", b"2026", b"=1+1", b"\xef\xbb\xbf",
)  # fmt: skip


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] if n % 4 else []) for n in range(60)]
)
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_sentence(
    tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    whole = [table(readings(30)).encode(), scada(40), gas_sensor(40).encode()][seed % 3]
    forms = [FileFormat(asset_id="A"), FileFormat(), FileFormat(time_unit="row"),
             FileFormat(asset_id="A", header=False)]  # fmt: skip
    messages: list[str] = []
    for form in forms:
        content = bytearray(whole)
        for _ in range(3):
            at = int(random.integers(len(content)))
            content[at : at + int(random.integers(4))] = JUNK[int(random.integers(len(JUNK)))]
        path = tmp_path / "x.csv"
        path.write_bytes(bytes(content))
        for read in (datasets.load, lambda *given: list(datasets.readings(*given))):
            try:
                read(path, None, form)
            except DatasetError as error:
                messages.append(error.message)
    assert all("\n" not in text and text.startswith("x.csv: ") for text in messages)


@pytest.mark.parametrize("quote", ['="{}"', '"=""{}"""'])
def test_texts_in_formulas_are_texts(load: Load, quote: str) -> None:
    rows = [
        ",".join(quote.format(cell) for cell in ("0012", f"2026-01-01 00:{i:02d}", f"{i % 7}.25"))
        for i in range(60)
    ]
    data = load("asset_id,timestamp,f\n" + "\n".join(rows) + "\n")
    assert [stream.asset_id for stream in data.streams] == ["0012"]
    assert data.streams[0].values[8].tolist() == [1.25]
    assert data.streams[0].timestamps[8] == np.datetime64("2026-01-01T00:08")
    assert 'cells such as ="0012" are read as the texts in them' in data.notes


def test_a_typographic_minus_sign_is_one(load: Load) -> None:
    minus = "\u2212"
    rows = [
        f"2026-01-01 00:{i:02d};{minus}{i + 1},5;{minus}{i + 1},5 °C;{minus * (i < 5)}{i}"
        for i in range(12)
    ]
    data = load("timestamp;p;temp;q\n" + "\n".join(rows) + "\n", asset_id="P")
    assert data.feature_names == ["p", "temp", "q"]
    assert data.streams[0].values[0].tolist() == [-1.5, -1.5, 0.0]
    assert data.streams[0].values[11].tolist() == [-12.5, -12.5, 11.0]


def test_a_minus_sign_behind_its_number_is_one(load: Load) -> None:
    rows = [f"2026-01-01 00:{i:02d};{i + 1},5{'-' * (i % 2)};1.{i:03d},5-" for i in range(12)]
    data = load("timestamp;p;q\n" + "\n".join(rows) + "\n", asset_id="P")
    assert data.streams[0].values[:2].tolist() == [[1.5, -1000.5], [-2.5, -1001.5]]
