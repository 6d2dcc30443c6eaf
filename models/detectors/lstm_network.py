"""Train the LSTM autoencoder in PyTorch; not imported for scoring."""

from __future__ import annotations

import ctypes
import inspect
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.detectors.lstm_training import Ends, draw, epoch_windows

if TYPE_CHECKING:
    from models.detectors.lstm_autoencoder import LSTMAutoencoder

Weights = dict[str, NDArray[np.float32]]

# torch has one global random state, and several threads may build networks at once
_seeding = threading.Lock()

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_WARM_UP = 0.1  # share of the steps in which the learning rate rises


class Network(nn.Module):  # type: ignore[misc]
    """Encode the window into a narrow code and decode it in reverse, by two LSTMs.

    In reverse order the last reading is decoded first, so its gradient has the shortest path
    (Srivastava et al. 2015; Malhotra et al. 2016). The decoder gets the code at every step and
    starts from a zero state.
    """

    def __init__(self, *, features: int, hidden: int, code: int, clip: float) -> None:
        super().__init__()
        self.clip = clip
        self.encoder = nn.LSTM(features, hidden, batch_first=True)
        self.code = nn.Linear(hidden, code)
        self.decoder = nn.LSTM(code, hidden, batch_first=True)
        self.out = nn.Linear(hidden, features)

    def forward(self, windows: Any) -> Any:
        """Reconstruct windows (n, w, d), oldest reading first, in the same shape."""
        _, (hidden, _) = self.encoder(windows.clamp(-self.clip, self.clip))  # (1, n, h)
        code = self.code(hidden[0])  # (n, c)
        steps = code.unsqueeze(1).expand(-1, windows.shape[1], -1)  # (n, w, c)
        decoded, _ = self.decoder(steps)  # (n, w, h), last reading first
        return self.out(decoded).flip(1)  # (n, w, d)


class _Adam(torch.optim.Adam):  # type: ignore[misc]
    """Adam without PyTorch's compiler hooks: loading the compiler takes a second for no use."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def build(features: int, plan: LSTMAutoencoder) -> Network:
    """Return an untrained network, without changing the global random state."""
    with _seeding, torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        code = plan.code_of(features)
        network = Network(features=features, hidden=plan.hidden, code=code, clip=plan.clip)
    with torch.no_grad():
        for lstm in (network.encoder, network.decoder):
            # Open forget gates let gradients reach the start of the window from the first
            # epoch on (Jozefowicz et al. 2015).
            lstm.bias_ih_l0[plan.hidden : 2 * plan.hidden] = 1.0
    return network


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: more do not help a small network, and would change its sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _kept_memory() -> Iterator[None]:
    """Have the C library keep freed memory for the next training step.

    By default glibc returns blocks of this size to the kernel and faults them in again at every
    step, which took half of its time. Without glibc this does nothing.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    libc.mallopt(_M_TRIM_THRESHOLD, 256 << 20)
    try:
        yield
    finally:
        libc.malloc_trim(0)


@_one_thread()
@_kept_memory()
def train(
    rows: NDArray[np.float32],
    training: Ends,
    validation: Ends,
    plan: LSTMAutoencoder,
    report: Callable[[int, dict[str, float]], None],
) -> tuple[Weights, list[dict[str, float]]]:
    """Train on windows, each given by the row at which it ends.

    Stops after ``patience`` epochs without a better validation loss. Returns the weights of the
    best epoch and the history.

    Parameters
    ----------
    rows : (m, d)
        Scaled and clipped.
    training, validation : (n,)
        Rows at which windows end.
    plan
        The detector: its sizes, epochs, seed and device.
    report
        Called with epoch and figures after each epoch.
    """
    device = _device(plan.device)
    order = np.random.default_rng(plan.seed)
    source = torch.from_numpy(rows)
    noise = torch.Generator().manual_seed(plan.seed)
    network = build(rows.shape[1], plan).to(device)
    optimiser = _Adam(network.parameters(), lr=plan.learning_rate, fused=True)
    windows = epoch_windows(len(training), plan.max_windows)
    steps = plan.epochs * -(-windows // plan.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    best, waited, weights = np.inf, 0, export(network)
    history: list[dict[str, float]] = []
    for epoch in range(1, plan.epochs + 1):
        ends = draw(training, plan.max_windows, order)
        train_loss = _learn(network, source, ends, plan, optimiser, schedule, noise)
        val_loss = _loss(network, source, validation, plan)
        figures = {"epoch": float(epoch), "train_loss": train_loss, "val_loss": val_loss}
        history.append(figures)
        report(epoch, figures)
        waited += 1
        if val_loss < best:
            best, waited, weights = val_loss, 0, export(network)
        if waited >= plan.patience:
            break
    return weights, history


def _rate(step: int, steps: int) -> float:
    """Return the learning rate as a share of its maximum: a linear warm-up, then a cosine decay.

    With this schedule and a high rate, 12 epochs reach the loss that 40 epochs of a lower, falling
    rate reached (super-convergence: Smith, Topin 2019).
    """
    warm_up = max(1.0, _WARM_UP * steps)
    return min((step + 1) / warm_up, 0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1.0)))


def _learn(
    network: Network,
    source: Any,
    ends: Ends,
    plan: LSTMAutoencoder,
    optimiser: Any,
    schedule: Any,
    noise: Any,
) -> float:
    """Train one epoch on the windows that end at ``ends``; return the mean loss."""
    network.train()
    total = 0.0
    for windows in _batches(source, ends, plan):
        # randomly masked values (Vincent et al. 2008) must be inferred from the other features and
        # the past, so the network cannot merely copy
        kept = torch.rand(windows.shape, generator=noise) >= plan.denoise
        windows = windows.to(network.out.weight.device)
        loss = _mixed_loss(network(windows * kept.to(windows.device)), windows, plan.focus)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        total += float(loss.detach()) * len(windows)
    return total / max(1, len(ends))


@torch.no_grad()  # type: ignore[untyped-decorator]
def _loss(network: Network, source: Any, ends: Ends, plan: LSTMAutoencoder) -> float:
    """Return the mean loss over the windows that end at ``ends``."""
    network.eval()
    total = 0.0
    for windows in _batches(source, ends, plan):
        windows = windows.to(network.out.weight.device)
        total += float(_mixed_loss(network(windows), windows, plan.focus)) * len(windows)
    return total / max(1, len(ends))


def _batches(source: Any, ends: Ends, plan: LSTMAutoencoder) -> Iterator[Any]:
    """Yield batches (b, w, d) of the windows of ``source`` (m, d) that end at ``ends``."""
    back = torch.arange(1 - plan.window, 1)
    for first in range(0, len(ends), plan.batch_size):
        last = torch.from_numpy(ends[first : first + plan.batch_size])
        yield source[last[:, None] + back]


def _mixed_loss(reconstruction: Any, windows: Any, focus: float) -> Any:
    """Return the Huber loss, with the share ``focus`` on the last reading, which is scored."""
    whole = nn.functional.huber_loss(reconstruction, windows)
    last = nn.functional.huber_loss(reconstruction[:, -1], windows[:, -1])
    return (1 - focus) * whole + focus * last


def _device(wanted: str) -> Any:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


#: PyTorch's names of the stored arrays, which are transposed.
_KEPT = {
    "encoder_in": "encoder.weight_ih_l0", "encoder_bias": "encoder.bias_ih_l0",
    "encoder_hidden": "encoder.weight_hh_l0",
    "code_weight": "code.weight", "code_bias": "code.bias",
    "decoder_in": "decoder.weight_ih_l0", "decoder_bias": "decoder.bias_ih_l0",
    "decoder_hidden": "decoder.weight_hh_l0",
    "out_weight": "out.weight", "out_bias": "out.bias",
}  # fmt: skip
#: PyTorch's second bias of each LSTM, which is added to the first.
_ADDED = {"encoder_bias": "encoder.bias_hh_l0", "decoder_bias": "decoder.bias_hh_l0"}


def export(network: Network) -> Weights:
    """Return the weights as the kernel takes them: transposed, an LSTM's two biases added."""
    state = {key: value.detach().cpu().numpy() for key, value in network.state_dict().items()}
    arrays = {ours: state[theirs].T for ours, theirs in _KEPT.items()}
    arrays |= {ours: arrays[ours] + state[theirs] for ours, theirs in _ADDED.items()}
    return {key: np.array(value, np.float32, order="C") for key, value in arrays.items()}


def restore(weights: Weights, clip: float) -> Network:
    """Return the network that :func:`export` wrote, in evaluation mode."""
    features, gates = weights["encoder_in"].shape
    network = Network(
        features=features, hidden=gates // 4, code=len(weights["code_bias"]), clip=clip
    )
    tensors = {theirs: torch.from_numpy(weights[ours].T.copy()) for ours, theirs in _KEPT.items()}
    network.load_state_dict({**tensors, **dict.fromkeys(_ADDED.values(), torch.zeros(gates))})
    network.eval()
    return network
