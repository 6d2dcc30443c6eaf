"""``python -m db.assets`` against a real database."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.assets import asset_criticalities, get_asset, list_assets, main, read_csv
from db.session import transaction
from errors import DatasetError


@pytest.fixture(autouse=True)
def _settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)


def table(engine: Engine) -> dict[str, str]:
    with transaction(engine) as connection:
        return dict(list_assets(connection))


def test_set_list_and_remove(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["set", "critical", "T1", "T2", "Zoë, 'B'"]) == 0
    assert main(["set", "low", "T2"]) == 0
    capsys.readouterr()
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert listed == "asset_id,criticality\nT1,critical\nT2,low\n\"Zoë, 'B'\",critical\n"
    assert dict(read_csv(io.StringIO(listed))) == table(engine)
    assert main(["list", "--criticality", "low"]) == 0
    assert capsys.readouterr().out == "asset_id,criticality\nT2,low\n"
    assert main(["remove", "T2", "T9"]) == 1
    assert capsys.readouterr().out == "1 assets removed; not known: T9\n"
    with transaction(engine) as connection:
        assert asset_criticalities(connection, ["T1", "T2"]) == {"T1": "critical", "T2": "medium"}


def test_import_takes_all_or_nothing(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "assets.csv"
    path.write_text("\ufeffasset_id,site,criticality\nA, x ,HIGH\nB,,low\n", encoding="utf-8")
    assert main(["import", str(path)]) == 0
    assert table(engine) == {"A": "high", "B": "low"}
    path.write_text("asset_id,criticality\nC,high\nD,huge\n")
    assert main(["import", str(path)]) == 1
    assert "line 3: criticality: 'huge' is none of critical" in capsys.readouterr().err
    assert table(engine) == {"A": "high", "B": "low"}


def test_set_and_import_store_who_and_why(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(asset: str) -> tuple[str, str, str | None]:
        with transaction(engine) as connection:
            found = get_asset(connection, asset)
        return found["criticality"], found["changed_by"], found["reason"]

    monkeypatch.setenv("LOGNAME", "ben")  # what getpass reads first
    assert main(["set", "high", "A", "B", "--who", "ANNA", "--why", "no spare"]) == 0
    assert told("A") == ("high", "ANNA", "no spare")
    path = tmp_path / "assets.csv"
    path.write_text("asset_id,criticality\nA,high\nB,low\n")
    assert main(["import", str(path), "--why", "review"]) == 0
    assert told("A") == ("high", "ANNA", "no spare")  # nothing changed, so they stand
    assert told("B") == ("low", "ben", "review")
    assert main(["set", "medium", "B"]) == 0
    assert told("B") == ("medium", "ben", None)


def test_import_reads_standard_input(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("asset_id,criticality\nA,critical\n"))
    assert main(["import", "-"]) == 0
    assert table(engine) == {"A": "critical"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lacks the column asset_id, criticality"),
        ("asset,criticality\nA,low\n", "lacks the column asset_id"),
        ("asset_id,criticality\n,low\n", "line 2: asset_id"),
        ("asset_id,criticality\nA\n", "line 2: criticality"),
        ("asset_id,criticality\nA,low\nA,high\n", "line 3: A has two criticalities, low and high"),
    ],
)
def test_a_bad_csv_names_line_and_column(content: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_csv(io.StringIO(content))


def test_a_missing_file_is_an_error_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "no-such-file.csv"]) == 1
    assert "no-such-file.csv cannot be read" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "python -m db.assets set critical" in out
    assert "one in 1,000" in out
