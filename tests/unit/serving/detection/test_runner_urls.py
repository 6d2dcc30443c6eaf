"""``RUNNER_URLS``."""

from __future__ import annotations

import pytest

from errors import SettingsError
from models.detectors import base
from serving.detection.runner_urls import MODEL_NAMES, parse_urls


def test_pairs_are_read_and_blanks_passed_over() -> None:
    text = " isolation_forest = http://a:1 ,, lstm_autoencoder=http://b:2/ "
    assert parse_urls(text) == {
        "isolation_forest": "http://a:1", "lstm_autoencoder": "http://b:2/",
    }  # fmt: skip
    assert parse_urls("") == {}


@pytest.mark.parametrize(
    "pair",
    ["isolation_forest", "forest=http://a:1", "isolation_forest=https://a", "one_class_svm=a:1"],
)
def test_the_pair_at_fault_is_named(pair: str) -> None:
    with pytest.raises(SettingsError, match=pair) as caught:
        parse_urls(f"lstm_autoencoder=http://b:2,{pair}")
    assert caught.value.field == "RUNNER_URLS"


def test_the_names_are_those_of_the_detectors() -> None:
    assert tuple(base.MODEL_NAMES) == MODEL_NAMES
