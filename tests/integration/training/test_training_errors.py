"""What cannot be trained is refused in one sentence, with an exit code, and without a traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.training import settings_for
from training import backtest, drift, fit, inspect, promote

HEAD = "asset_id,timestamp,rms,temp\n"


def rows(rms: str = "{i}", temp: str = "{i}", n: int = 120) -> str:
    lines = []
    for i in range(n):
        at = f"2026-01-01T00:{i // 60:02}:{i % 60:02}Z"
        lines.append(f"P,{at},{rms.format(i=i % 7)},{temp.format(i=i % 11)}\n")
    return HEAD + "".join(lines)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, bento_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = settings_for(tmp_path / "var", mlflow=False)
    monkeypatch.setattr("training.cli.common.load_settings", lambda: settings)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    printed = capsys.readouterr()
    assert code == 1
    assert printed.out == ""
    line = printed.err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in printed.err
    return line


@pytest.mark.parametrize(
    ("content", "argv", "message"),
    [
        (rows(n=10), [], "10 readings are too few"),
        (rows("1", "2"), [], "all 2 features are constant"),
        (
            rows().replace(",3\n", ",\n"),
            ["--missing", "refuse"],
            "values are missing, most of 'temp'",
        ),
        (rows("", ""), [], "every feature is missing"),
        (rows().replace(",3\n", ",x\n"), [], "column 'temp' holds 'x', not a number: --null"),
        (rows("inf"), [], "row 1: rms is not finite"),
        (
            rows().replace("timestamp", "stamp").replace("2026-01-01T", "at "),
            [],
            "column 'timestamp' is missing",
        ),
        (
            rows().replace("timestamp", "time").replace("2026-01-01T", "at "),
            [],
            "column 'time' holds 'at 00:00:00Z', which is not read as a time: --columns",
        ),
        (rows().replace("2026-01-01T00:00:0", "soon "), [], "row 1: timestamp"),
        (rows(), ["--features", "rms,flow"], "column 'flow' is missing"),
        (rows(), ["--limit", "flow=1:2"], "--limit: column 'flow' is missing"),
        (rows(), ["--since", "2026-01-01"], "--since needs --data postgresql, not "),
        (rows(), ["--keep-events"], "--keep-events needs --data postgresql, not "),
        (rows(), ["--models", "magic"], "'magic' is not one of isolation_forest"),
        (rows(), ["--group-by", "plant"], "column 'plant' is missing"),
        (rows(), ["--groups", "none.toml"], "none.toml: No such file"),
        (rows(), ["--config", "none.toml"], "none.toml: No such file"),
        (rows(), ["--config", "data.csv"], "data.csv: "),
        (rows(), ["--only", "vibration"], "no champion yet whose group 'vibration'"),
        (rows(), ["--data", "m.npz", "--schedules", "s.json"], "--schedules means nothing for m"),
        (rows(), ["--nu", "7", "--models", "one_class_svm"], "nu: must lie between"),
        (rows(), ["--data", "none.csv"], "no file matches 'none.csv'"),
        (rows(), ["--data", "data.json"], "data.json"),
        (b"\xff\xfe\x00" * 50, [], "is not text"),
        ("", [], "is empty"),
    ],
)
def test_a_fit_that_cannot_be_says_why(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | bytes,
    argv: list[str],
    message: str,
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (place / "data.csv").write_bytes(data)
    (place / "data.json").write_text("{}")
    (place / "s.json").write_text('{"maintenance_windows": []}')
    np.savez(place / "m.npz", values=np.ones((90, 1)), names=["rms"])
    code = fit.main(["--data", "data.csv", "--folds", "2", *argv])
    assert message in refused(capsys, code)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--train-until", "soon", "--out", "o.csv"], "neither a number of rows nor an ISO 8601"),
        (["--train-until", "60", "--out", "none/o.csv"], "folder none does not exist"),
        (["--train-until", "5", "--out", "o.csv"], "5 training readings"),
        (["--train-until", "5000", "--out", "o.csv"], "none is left to score"),
        (["--train-until", "60", "--out", "o.csv", "--condition", "flow"], "column 'flow' is mis"),
        (["--train-until", "60", "--out", "o.csv", "--limit", "flow=1:2"], "column 'flow' is mis"),
        (
            ["--train-until", "60", "--out", "o.csv", "--data", "m.npz", "--schedules", "s.json"],
            "--schedules means nothing for m.npz, which has no times: leave it out",
        ),
    ],
)
def test_a_back_test_that_cannot_be_says_why(
    place: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    (place / "data.csv").write_text(rows())
    (place / "s.json").write_text('{"maintenance_windows": []}')
    np.savez(place / "m.npz", values=np.random.default_rng(0).normal(size=(90, 1)), names=["rms"])
    assert message in refused(capsys, backtest.main(["--data", "data.csv", *argv]))


def test_without_a_champion_there_is_nothing_to_compare(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "champion" in refused(capsys, drift.main([]))
    assert "no challenger" in refused(capsys, promote.main([]))


@pytest.mark.parametrize(
    ("module", "argv", "message"),
    [
        (fit, ["--holdout", "1"], "1 is not in [0, 1)"),
        (fit, ["--jobs", "0"], "0 is not 1 or more"),
        (promote, ["--holdout", "2"], "2 is not in [0, 1)"),
        (promote, ["--list", "--rollback"], "not allowed with"),
        (drift, ["--last", "-5"], "-5 is not 1 or more"),
    ],
)
def test_a_wrong_option_is_named(
    capsys: pytest.CaptureFixture[str], module: object, argv: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        module.main(argv)  # type: ignore[attr-defined]
    printed = capsys.readouterr().err
    assert argv[0] in printed
    assert message in printed


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--list", "--version", "3"], "--version means nothing with --list"),
        (["--rollback", "--version", "3"], "--version means nothing with --rollback"),
        (["--register", "x", "--holdout", "0.1"], "--holdout means nothing with --register"),
        (["--force", "--data", "x.csv"], "--data means nothing with --force"),
        (["--force", "--time-zone", "UTC"], "--time-zone means nothing with --force"),
        (["--label", "fault"], "--label is about the file of --data"),
    ],
)
def test_what_a_promotion_would_ignore_is_refused(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert message in refused(capsys, promote.main(argv))


def test_options_about_no_file_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, drift.main(["--null=-200"]))
    assert "--null is about the file of --data: give both" in line


def test_inspecting_names_the_option_and_what_it_cannot_read(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "data.csv").write_text(rows())
    code = inspect.main(["--data", "data.csv", "--page", "none/q.html"])
    assert "--page: the folder none does not exist" in refused(capsys, code)
    line = refused(capsys, inspect.main(["--data", "postgresql"]))
    assert "--data postgresql: this command reads no stored readings" in line


@pytest.mark.parametrize("module", [fit, backtest, drift, promote])
def test_the_help_teaches_by_examples(module: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])  # type: ignore[attr-defined]
    name = module.__name__  # type: ignore[attr-defined]
    assert capsys.readouterr().out.count(f"python -m {name}") >= 3
