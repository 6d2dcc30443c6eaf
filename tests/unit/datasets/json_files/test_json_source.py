"""JSON files are read as the same CSV would be, with the same treatment of odd values."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import START, Load, readings, same

VALUES = readings(300)


def row(i: int, **more: Any) -> dict[str, Any]:
    time = (START + timedelta(minutes=i)).isoformat()
    named = dict(zip(("vib", "temp", "flow"), VALUES[i].tolist(), strict=True))
    return {"asset_id": "P1", "timestamp": time, **named, **more}


def rows() -> list[dict[str, Any]]:
    return [row(i) for i in range(len(VALUES))]


def message(i: int, **more: Any) -> dict[str, Any]:
    flat = row(i)
    features = {name: flat.pop(name) for name in ("vib", "temp", "flow")}
    return {**flat, "features": features, "metadata": {"num_features": 3}, **more}


def lines(documents: Iterable[Any]) -> str:
    return "\n".join(map(json.dumps, documents)) + "\n"


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "txt", "csv"])
def test_json_lines(load: Load, suffix: str) -> None:
    data = load(lines(rows()), suffix)
    same(data, VALUES)
    assert data.notes == []


def test_a_dump_of_the_input_topic(load: Load) -> None:
    data = load(lines(map(message, range(300))), "jsonl")
    same(data, VALUES)
    assert data.notes == ["left out, since they stand beside the features: metadata"]


@pytest.mark.parametrize("packed", [gzip.compress, lambda b: pa.compress(b, "zstd", asbytes=True)])
def test_compressed(tmp_path: Path, packed: Any) -> None:
    path = tmp_path / "plant.jsonl.gz"
    path.write_bytes(packed(lines(rows()).encode()))
    same(datasets.load(path), VALUES)


def test_an_array_and_a_file_of_several(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(rows()[:100]))
    (tmp_path / "b.jsonl").write_text(lines(rows()[100:]))
    same(datasets.load_files(datasets.files_of(str(tmp_path))), VALUES)


def test_rows_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "plant.jsonl"
    path.write_text(lines(map(message, range(300))))
    notes: list[str] = []
    found = list(datasets.readings(path, report=notes.append))
    assert [list(one.features.values()) for one in found] == VALUES.tolist()
    assert len(notes) == 1


def test_odd_values_are_treated_as_in_csv(load: Load) -> None:
    odd = rows()
    odd[5]["temp"] = "abc"
    odd[6]["temp"] = None
    del odd[7]["temp"]
    odd[8]["temp"] = "51.5"
    odd[9]["temp"] = float("nan")
    odd[10]["temp"] = "Bad Input"
    odd[11]["temp"] = [1, 2]
    odd[12]["vib"] = 10**400
    data = load(lines(odd), "jsonl")
    temp = data.streams[0].values[:, 1]
    assert np.flatnonzero(np.isnan(temp)).tolist() == [5, 6, 7, 9, 10, 11]
    assert temp[8] == 51.5
    assert np.isnan(data.streams[0].values[12, 0])
    notes = "\n".join(data.notes)
    assert "row 6: column 'temp' holds 'abc', not a number" in notes
    assert "row 12: column 'temp' holds '[1, 2]', not a number" in notes
    assert "row 13: vib is not finite" in notes
    assert "temp: 'Bad Input' is read as not measured (row 11)" in notes


def test_bad_lines_are_named_and_keep_the_numbers_of_the_others(load: Load) -> None:
    text = lines(rows()).splitlines()
    text[2] = text[2].replace('"flow"', '"vib"')
    text[4] = text[4].replace("2026", "oops")
    text[-1] = text[-1][:40]
    with pytest.raises(DatasetError, match=r"^plant.jsonl: row 3 has the key 'vib' twice$"):
        load("\n".join(text[:100]), "jsonl")
    notes = load("\n".join([text[0], *text[3:]]), "jsonl").notes
    assert "row 3: timestamp: 'oops-01-01T00:04:00'" in notes[1]
    assert "(1): row 298 is no JSON" in notes[0]


def test_a_sensor_installed_later_is_a_column(load: Load) -> None:
    late = [row(i, **({"oil": i + 0.5} if i > 250 else {})) for i in range(300)]
    data = load(lines(late), "jsonl")
    assert data.feature_names[-1] == "oil"
    assert np.isnan(data.streams[0].values[:, 3]).sum() == 251


def test_points_of_numbers_are_decimal_signs(load: Load) -> None:
    """987, 1.013 are ambiguous in a CSV file beside decimal commas, but not here."""
    mixed = [
        row(i, load=1.013 if i % 2 else 700 + i, oil="n/a" if i % 9 == 1 else 1.013 + i)
        for i in range(300)
    ]
    data = load(lines(mixed), "jsonl")
    assert data.streams[0].values[:2, 3].tolist() == [700, 1.013]
    assert data.streams[0].values[2, 4] == 3.013


def test_texts_with_decimal_commas_and_switches(load: Load) -> None:
    comma = [row(i, temp=f"{VALUES[i, 1]}".replace(".", ","), run=i % 3 == 0) for i in range(300)]
    data = load(lines(comma), "jsonl")
    np.testing.assert_array_equal(data.streams[0].values[:, :3], VALUES)
    assert data.streams[0].values[:4, 3].tolist() == [1, 0, 0, 1]
    assert "run: read as 0 and 1" in data.notes


def test_whole_numbers_as_ids_and_times(load: Load) -> None:
    ids = [row(i, asset_id=(7, 7.0)[i % 2], timestamp=1767225600 + 60 * i) for i in range(300)]
    for options in ({}, {"time_unit": "s"}):
        data = load(lines(ids), "jsonl", **options)
        assert data.streams[0].asset_id == "7"
        same(data, VALUES)


def test_arrays_are_left_out_by_name_and_refused_as_features(load: Load) -> None:
    nested = [row(i, spectrum=[1, 2], coil={"u": {"v": 1}}) for i in range(300)]
    data = load(lines(nested), "jsonl")
    same(data, VALUES)
    assert "column 'spectrum' holds no number ([1, 2]): left out" in data.notes
    assert "column 'coil.u' holds no number ({\"v\": 1}): left out" in data.notes
    with pytest.raises(DatasetError, match=r"column 'spectrum' holds '\[1, 2\]', not a number"):
        load(lines(nested), "jsonl", features="spectrum")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no JSON object"), ("[]", "holds no JSON object"), ("hello\n", "row 1 is no"),
        ('["a", 1]', "row 1 is no JSON object"),
    ],
)  # fmt: skip
def test_files_without_objects(load: Load, text: str, problem: str) -> None:
    with pytest.raises(DatasetError, match=problem):
        load(text, "json")


def test_another_encoding_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "plant.jsonl"
    text = "\n".join(json.dumps(row(i, **{"öl": i + 0.5}), ensure_ascii=False) for i in range(300))
    path.write_bytes(text.encode("cp1252"))
    data = datasets.load(path)
    assert data.feature_names[-1] == "öl"
    assert data.notes == ["read as cp1252, since it is not UTF-8 (--encoding names another)"]
    assert datasets.load(path, form=FileFormat(encoding="cp1252")).notes == []
    path.write_bytes(text.encode("utf-16"))
    assert datasets.load(path).notes == []


def test_data_sets_are_not_written_as_json(tmp_path: Path, load: Load) -> None:
    with pytest.raises(DatasetError, match=r"written as \.csv or \.parquet"):
        datasets.save(tmp_path / "out.jsonl", load(lines(rows()), "jsonl"))


DEEP = '{"a":' * 3000 + "1" + "}" * 3000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("5", "row 1 is no JSON object: 5"),
        ("\n".join(["5"] * 3000), "row 1 is no JSON object: 5"),
        (DEEP, "row 1 is no JSON"),
        ('{"columns": ["timestamp", "a"], "data": [["x", 1], [2]]}', r"row 2: \[2\] has no value"),
        ('{"columns": ["timestamp", "a"], "data": [["x", 1], null]}', "row 2: null has no value"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=problem):
        datasets.load(path)
