"""A bundle that cannot be registered is kept where there is room, and told in one sentence."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from errors import TrainingError
from training.unregistered import keep_somewhere, remove_emptied, sentence_of


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "a.npz").write_bytes(b"learnt")
    return folder


def kept(bundle: Path, var_dir: Path) -> str:
    return keep_somewhere(bundle, "v1", {"groups": "1"}, pd.DataFrame({"rms": [1.0]}), var_dir)


def test_it_is_kept_in_the_folder_of_local_data(bundle: Path, tmp_path: Path) -> None:
    home = tmp_path / "var" / "unregistered" / "v1"
    command = f"python -m training.promote --register {home}"
    assert kept(bundle, tmp_path / "var") == f"the bundle is kept: {command}"
    assert (home / "bundle" / "a.npz").read_bytes() == b"learnt"


def test_without_room_there_it_is_kept_among_the_temporary_files(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    no_folder = tmp_path / "file"
    no_folder.touch()
    said = kept(bundle, no_folder)
    (home,) = tmp_path.glob("bundle-*/unregistered/v1")
    assert said == f"the bundle is kept: python -m training.promote --register {home}"


def test_without_room_anywhere_that_is_said(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_folder = tmp_path / "file"
    no_folder.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(no_folder))
    assert kept(bundle, no_folder).startswith(
        "the bundle is lost, since it could not be kept either: [Errno 20] Not a directory"
    )


def test_nothing_is_left_behind_of_a_bundle_that_could_not_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert kept(tmp_path / "no bundle", tmp_path / "var").startswith("the bundle is lost")
    assert list(tmp_path.glob("bundle-*")) == []


def test_a_temporary_folder_goes_with_the_last_bundle_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = tmp_path / "bundle-x" / "unregistered"
    (home / "v2").mkdir(parents=True)
    remove_emptied(home / "v1")
    assert (home / "v2").is_dir()
    (home / "v2").rmdir()
    remove_emptied(home / "v2")
    assert not (tmp_path / "bundle-x").exists()
    (tmp_path / "var" / "unregistered").mkdir(parents=True)
    remove_emptied(tmp_path / "var" / "unregistered" / "v1")
    assert (tmp_path / "var" / "unregistered").is_dir()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TrainingError("no data"), "no data"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")] * 9),
         "[Errno 28] No space left on device: 'b'"),
        (OSError(30, "Read-only file system", "x"), "[Errno 30] Read-only file system: 'x'"),
        (ValueError(), "ValueError"),
        (RuntimeError("first\nsecond"), "first"),
        (RuntimeError("(raised as a result of Query-invoked autoflush; consider using a block)\n"
                      "(sqlite3.OperationalError) database or disk is full\n[SQL: UPDATE runs]"),
         "(sqlite3.OperationalError) database or disk is full"),
    ],
)  # fmt: skip
def test_an_error_is_told_in_one_sentence(error: Exception, said: str) -> None:
    assert sentence_of(error) == said
