"""Hyper-parameters from the command line, a config file and the defaults."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from errors import TrainingError
from models.fitting.options import DETECTORS, FitOptions
from training.cli.fit_arguments import PARAMETERS, add_fit_arguments, fit_options


def options(*argv: str) -> FitOptions:
    parser = argparse.ArgumentParser()
    add_fit_arguments(parser)
    return fit_options(parser.parse_args(argv))


def test_without_options_the_defaults_hold() -> None:
    assert options() == FitOptions()


def test_every_parameter_reaches_its_detector() -> None:
    for parameter in PARAMETERS:
        words = {"device": "cpu", "drift": "normal", "trim": "0.3", "counters": "none",
                 "seasonality": "Europe/Berlin", "nu": "0.3", "learning-rate": "0.5",
                 "watch-still": "0", "watch-stuck": "0"}  # fmt: skip
        value = words.get(parameter.option, "8")
        found = options(f"--{parameter.option}", value)
        held = found if parameter.detector is None else getattr(found, parameter.detector)
        got = held[parameter.field] if isinstance(held, dict) else getattr(held, parameter.field)
        assert str(got) in (value, f"{value}.0")


def test_the_command_line_beats_the_file_which_beats_quick(tmp_path: Path) -> None:
    path = tmp_path / "fit.toml"
    path.write_text("seed = 3\n[one_class_svm]\nnu = 0.05\n[forest]\ntrees = 70\n")
    found = options("--quick", "--config", str(path), "--nu", "0.2")
    assert found.seed == 3
    assert found.one_class_svm["nu"] == 0.2
    assert found.isolation_forest["n_trees"] == 70
    assert found.lstm_autoencoder["epochs"] == 3


def test_limits_from_the_file_and_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "fit.toml"
    path.write_text('[limits]\ntemp = [-40, 200]\nflow = [0, ""]\n')
    found = options("--config", str(path), "--limit", "temp=:150")
    assert found.limits == {"temp": [None, 150.0], "flow": [0.0, None]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 3", "'sed'"),
        ("seed = ", "fit.toml"),
        ("[limits]\na = [1]", "limits.a"),
        ("limits = 5", "limits: expected a table"),
        ("seed = 1\n[detector]\nseed = 2", "seed: is given twice"),
        ('[limits]\na = [1, "far"]', "limits.a"),
        ('trees = "many"', "trees: 'many' is no int"),
        ("folds = 2.5", "folds: 2.5 is no int"),
        ('models = "isolation_forest"', "models: expected a list of names"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "fit.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        options("--config", str(path))


def test_the_help_names_the_defaults_that_hold() -> None:
    for parameter in PARAMETERS:
        if parameter.detector is not None and parameter.field != "code":
            default = DETECTORS[parameter.detector]().params[parameter.field]
            assert parameter.help.endswith(f"({default})") or f"({default:g})" in parameter.help


def test_an_unknown_detector_is_named() -> None:
    with pytest.raises(TrainingError, match="'forest'"):
        options("--models", "forest,one_class_svm")


def test_detectors_keep_the_order_of_the_results() -> None:
    assert options("--models", "one_class_svm,isolation_forest").models == (
        "isolation_forest",
        "one_class_svm",
    )


def test_the_clock_of_the_seasons_is_a_time_zone() -> None:
    for word in ("auto", "none", "Asia/Tokyo"):
        assert options("--seasonality", word).seasonality == word
    with pytest.raises(TrainingError, match="seasonality: 'Mars'"):
        options("--seasonality", "Mars")


@pytest.mark.parametrize("pair", ["9:1", "1:1", "nan:"])
def test_limits_that_no_value_meets_are_refused(pair: str) -> None:
    with pytest.raises(TrainingError, match=r"limits: temp: .* is not below"):
        options("--limit", f"temp={pair}")


@pytest.mark.parametrize(
    ("option", "value"),
    [("baseline", "-1"), ("horizon", "-1"), ("adaptation", "-0.1"), ("adaptation", "nan")],
)
def test_a_number_out_of_range_is_refused(option: str, value: str) -> None:
    with pytest.raises(TrainingError, match=f"{option}: {value} is neither auto nor"):
        options(f"--{option}", value)


def test_no_fewer_than_no_feature_is_imputed() -> None:
    with pytest.raises(TrainingError, match="impute: -1 is below 0"):
        options("--impute", "-1")


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_no_detector_takes_is_refused(seed: str) -> None:
    with pytest.raises(TrainingError, match=f"seed: {seed} does not lie between 0 and 4294967295"):
        options("--seed", seed)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("trees", "0", "must lie between 1 and 10000, got 0"),
        ("tree-rows", "1", "must lie between 2 and 4096, got 1"),
        ("nu", "nan", "must lie between 1e-06 and 0.99, got nan"),
        ("gamma", "-1", "must lie between 1e-12 and 1e+12, got -1.0"),
        ("svm-rows", "1", "must lie between 2 and 100000, got 1"),
        ("window", "0", "must lie between 2 and 1000, got 0"),
        ("hidden", "6", "must be a multiple of 4, got 6"),
        ("code", "0", "must lie between 1 and 1024, got 0"),
        ("epochs", "-3", "must lie between 1 and 10000, got -3"),
        ("batch-size", "0", "must lie between 1 and 100000, got 0"),
        ("learning-rate", "inf", "must lie between 1e-08 and 1, got inf"),
        ("patience", "0", "must lie between 1 and 10000, got 0"),
        ("clip", "nan", "must lie between 1 and 1e+06, got nan"),
        ("max-windows", "0", "must lie between 1 and 10000000, got 0"),
        ("device", "tpu", 'must be "auto", "cpu" or "cuda", got'),
        ("watch-still", "2", "2 is not 0 or 1"),
        ("watch-stuck", "-1", "-1 is not 0 or 1"),
    ],
)
def test_a_size_out_of_range_is_named_with_the_range(
    tmp_path: Path, option: str, value: str, why: str
) -> None:
    key = option.replace("-", "_")
    with pytest.raises(TrainingError) as given:
        options(f"--{option}={value}", "--models", "isolation_forest")
    assert given.value.message.startswith(f"{key}: {why}")
    file = tmp_path / "fit.toml"
    file.write_text(f'{key} = "{value}"\n')
    with pytest.raises(TrainingError) as read:
        options("--config", str(file))
    assert read.value.message == given.value.message


def test_sizes_are_checked_without_a_command_line() -> None:
    with pytest.raises(TrainingError, match="isolation_forest: n_trees must lie between 1 and"):
        FitOptions(models=("one_class_svm",), isolation_forest={"n_trees": 0})
