"""Files of labels alone are no assets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets import Dataset, FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import readings

LABELS = np.repeat([0, 1, 0], [200, 20, 80])


def write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, values, fmt="%g", delimiter=",")


def load(spec: str) -> Dataset:
    form = FileFormat(time_unit="row", header=False)
    return datasets.load_files(datasets.files_of(spec), form=form)


@pytest.mark.parametrize(
    "name", ["test_label/pump.txt", "labels/pump.txt", "test/pump_labels.txt", "Ground Truth/p.txt"]
)
def test_files_of_labels_are_left_out(tmp_path: Path, name: str) -> None:
    write(tmp_path / "test" / "pump.txt", readings(300))
    write(tmp_path / name, LABELS)
    data = load(f"{tmp_path}/**/*.txt")
    assert [stream.asset_id for stream in data.streams] == ["pump"]
    assert data.feature_names == ["1", "2", "3"]
    (note,) = [note for note in data.notes if "left out" in note]
    assert note.startswith(f"left out: {name}: labels, by the name and the few whole numbers")


def test_several_files_of_labels_have_one_note(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "test" / f"pump-{number}.txt", readings(300, seed=number))
        write(tmp_path / "test_label" / f"pump-{number}.txt", LABELS)
    data = load(f"{tmp_path}/**/*.txt")
    assert len(data.streams) == 3
    (note,) = [note for note in data.notes if "left out" in note]
    assert note.startswith("left out: test_label/pump-0.txt and 2 more: labels")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("labelling_machine/pump.txt", LABELS),
        ("switches/pump.txt", LABELS),
        ("labels/pump.txt", readings(300, seed=5)),
    ],
)
def test_other_files_stay(tmp_path: Path, name: str, values: np.ndarray) -> None:
    write(tmp_path / "test" / "motor.txt", readings(300))
    write(tmp_path / name, values)
    assert len(load(f"{tmp_path}/**/*.txt").streams) == 2


def test_labels_alone_are_read(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "pump.txt", LABELS)
    write(tmp_path / "labels" / "motor.txt", LABELS)
    assert len(load(f"{tmp_path}/**/*.txt").streams) == 2


def test_a_file_of_labels_is_no_data_if_that_of_the_readings_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "rig"
    write(folder / "rig.csv", readings(300))
    lines = [f"{value},2026-01-01 {n // 60:02d}:{n % 60:02d}\n" for n, value in enumerate(LABELS)]
    (folder / "rig_labels.csv").write_text("".join(lines))
    form = FileFormat(header=False)
    with pytest.raises(DatasetError, match=r"rig.csv: column 'timestamp' is missing"):
        datasets.load_files(datasets.files_of(str(folder)), form=form)


def test_a_file_with_a_label_and_no_feature_says_what_to_do_with_it(tmp_path: Path) -> None:
    for name, head in (("test.csv", "timestamp,temp"), ("test_label.csv", "timestamp,label")):
        rows = [f"2026-01-01 00:{n:02d},{n % 2}\n" for n in range(30)]
        (tmp_path / name).write_text(f"{head}\n" + "".join(rows))
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert [stream.asset_id for stream in data.streams] == ["test"]
    (note,) = [note for note in data.notes if note.startswith("left out")]
    assert note.startswith("left out: test_label.csv: holds labels (label) and no features: copy")


def test_a_machine_that_stands_still_stays_in_a_folder_whose_name_says_labels(
    tmp_path: Path,
) -> None:
    write(tmp_path / "label" / "pump.txt", readings(300))
    write(tmp_path / "label" / "motor.txt", np.ones((300, 3)))
    assert len(load(f"{tmp_path}/label/*.txt").streams) == 2
