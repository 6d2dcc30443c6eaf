"""The kernel against PyTorch, windows against sequences, and training."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from errors import InputError
from models.detectors.base import Array
from models.detectors.lstm_autoencoder import LSTMAutoencoder
from models.detectors.lstm_network import Network, _rate, build, export, restore
from models.detectors.lstm_training import split

pytestmark = pytest.mark.slow  # fits models

WINDOW, FEATURES = 12, 3


def stream(n: int, seed: int) -> Array:
    draw = np.random.default_rng(seed)
    phase = 2 * np.pi * np.arange(n)[:, None] / [12.0, 12.0, 30.0] + draw.uniform(0, 6)
    return np.sin(phase) * 1.4 + 0.1 * draw.normal(size=(n, FEATURES))


def windows(readings: Array, window: int = WINDOW) -> Array:
    return np.lib.stride_tricks.sliding_window_view(readings, window, axis=0).swapaxes(1, 2)


@pytest.fixture(scope="module")
def fitted() -> LSTMAutoencoder:
    return LSTMAutoencoder(
        window=WINDOW, hidden=16, epochs=15, batch_size=32, device="cpu", seed=1
    ).fit([stream(1500, 1), stream(600, 2)])


@pytest.mark.parametrize("factor", [1.0, 0.0, 8.0, 1e6, 1e30])
def test_scores_equal_pytorch_on_random_and_extreme_windows(
    fitted: LSTMAutoencoder, factor: float
) -> None:
    x = np.random.default_rng(0).normal(size=(300, WINDOW, FEATURES)) * factor
    with torch.no_grad():
        by_torch = fitted.network()(torch.from_numpy(x.astype(np.float32)))[:, -1].numpy()
    np.testing.assert_allclose(fitted._reconstruct(*fitted._unroll(x)), by_torch, atol=1e-5)
    weights = fitted._weights_ahead
    assert weights is not None
    ahead = sum(x[:, -2 - lag] @ weights[lag] for lag in range(fitted.lags))
    squares = 0.0
    for guess, errors in ((by_torch, fitted._errors), (ahead, fitted._forecast_errors)):
        gap, normal = x[:, -1] - guess, errors.covariance
        together = ((gap @ normal.whitening) ** 2).mean(axis=1)
        alone = ((gap @ normal.precision) ** 2 / np.diag(normal.precision)).max(axis=1)
        squares += np.maximum(together, np.exp(2.0 * errors.shift) * alone**errors.gain)
    np.testing.assert_allclose(fitted.score(x), np.log1p(5 * squares), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("features", "hidden", "code"), [(1, 4, 1), (24, 64, 16), (5, 20, 3)])
def test_kernel_equals_pytorch_for_other_sizes(features: int, hidden: int, code: int) -> None:
    model = LSTMAutoencoder(window=6, hidden=hidden, code=code, epochs=1, device="cpu")
    draw = np.random.default_rng(0)
    model.fit([draw.normal(size=(80, features))])
    x = draw.normal(size=(20, 6, features)) * 3
    with torch.no_grad():
        by_torch = model.network()(torch.from_numpy(x.astype(np.float32)))
    np.testing.assert_allclose(
        model._reconstruct(*model._unroll(x)), by_torch[:, -1].numpy(), atol=1e-5
    )


def test_weights_survive_export_and_restore() -> None:
    model = LSTMAutoencoder(window=6, hidden=8, code=2)
    network = build(3, model).eval()
    twin = restore(export(network), network.clip)
    x = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(twin(x), network(x))


def test_a_sliding_view_scores_as_its_windows(fitted: LSTMAutoencoder) -> None:
    view = windows(stream(200, 7))
    np.testing.assert_array_equal(fitted.score(view), fitted.score(np.ascontiguousarray(view)))


def test_a_bad_value_in_a_sliding_view_is_named_by_row_and_column(fitted: LSTMAutoencoder) -> None:
    readings = stream(40, 1)
    readings[17, 2] = np.nan
    with pytest.raises(InputError, match=r"\(17, 2\)"):
        fitted.score(windows(readings))


def test_only_the_last_reading_is_judged(fitted: LSTMAutoencoder) -> None:
    usual = windows(stream(400, 11))
    last, middle = usual.copy(), usual.copy()
    last[:, -1, 0] += 2.5
    middle[:, WINDOW // 4, 0] += 2.5  # further back than the forecast looks
    high = np.quantile(fitted.score(usual), 0.99)
    assert (fitted.score(last) > high).mean() > 0.95
    assert (fitted.score(middle) > high).mean() < 0.5


def test_a_common_value_at_the_wrong_moment_is_seen(fitted: LSTMAutoencoder) -> None:
    usual = windows(stream(400, 12))
    moved = usual.copy()
    moved[:, -1] = np.roll(usual[:, -1], 6, axis=0)  # half a period off, each value common
    high = np.quantile(fitted.score(usual), 0.95)
    assert (fitted.score(moved) > high).mean() > 0.5


def test_training_improves_and_tells_its_history(fitted: LSTMAutoencoder) -> None:
    assert [h["epoch"] for h in fitted.history] == list(range(1, len(fitted.history) + 1))
    assert set(fitted.history[0]) == {"epoch", "train_loss", "val_loss"}
    assert fitted.history[-1]["val_loss"] < 0.7 * fitted.history[0]["val_loss"]


def test_training_leaves_global_random_state_alone() -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    LSTMAutoencoder(window=4, hidden=4, epochs=1, device="cpu").fit([stream(60, 1)])
    torch.testing.assert_close(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]


def test_training_gives_pytorch_its_threads_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        LSTMAutoencoder(window=4, hidden=4, epochs=1, device="cpu").fit([stream(60, 1)])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_training_stops_when_patience_ends() -> None:
    noise = np.random.default_rng(0).normal(size=(300, 2))
    model = LSTMAutoencoder(
        window=4, hidden=32, epochs=200, patience=2, learning_rate=0.05, device="cpu"
    ).fit([noise])
    losses = [h["val_loss"] for h in model.history]
    assert len(losses) < 200
    assert min(losses) == losses[-3]


def test_the_decoder_tells_the_window_backwards() -> None:
    network = Network(features=2, hidden=8, code=3, clip=10.0).eval()
    x = torch.randn(1, 6, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, (hidden, _) = network.encoder(x)
        first, _ = network.decoder(network.code(hidden[0])[:, None])
        torch.testing.assert_close(network(x)[:, -1], network.out(first)[:, 0])


@pytest.mark.parametrize("lengths", [[1000], [400, 30, 29, 5], [30], [31, 200]])
def test_windows_for_validation_share_no_reading_with_training(lengths: list[int]) -> None:
    training, validation = split(lengths, 30)
    stops = np.cumsum(lengths)
    owner = np.searchsorted(stops, np.arange(stops[-1]), side="right")
    used = {
        name: {int(r) for end in ends for r in range(end - 29, end + 1)}
        for name, ends in (("training", training), ("validation", validation))
    }
    assert not used["training"] & used["validation"]
    for end in np.concatenate([training, validation]):
        assert owner[end - 29] == owner[end]
    assert len(training)
    if max(lengths) >= 400:
        assert 0.05 < len(validation) / (len(training) + len(validation)) < 0.3


def test_the_learning_rate_rises_once_and_falls_to_nothing() -> None:
    rates = [_rate(step, 50) for step in range(51)]
    top = int(np.argmax(rates))
    assert 2 <= top <= 6
    assert rates[top] > 0.95
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top:]) < 0)
    assert rates[0] > 0
    assert abs(rates[-1]) < 1e-12
    assert _rate(0, 1) == 1.0


def test_training_does_without_pytorchs_compiler() -> None:
    """Loading it takes a second, which each process of a fit would pay."""
    code = (
        "import sys, numpy as np\n"
        "from models.detectors.lstm_autoencoder import LSTMAutoencoder\n"
        "rows = np.random.default_rng(0).normal(size=(60, 2))\n"
        "LSTMAutoencoder(window=4, hidden=4, epochs=1).fit([rows])\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
