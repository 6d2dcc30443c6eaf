"""The LSTM autoencoder's forward pass as one Numba kernel (see ``lstm_autoencoder``)."""

from __future__ import annotations

import numpy as np

from models.kernels import F32, F64, I64, _sigmoid, _tanh, compiled


@compiled
def _accumulate(out: F32, x: F32, weight: F32) -> None:
    """``out += x @ weight``, four rows of ``weight`` at a time to spare loads and stores."""
    rows, columns = weight.shape
    whole = rows - rows % 4
    for k in range(0, whole, 4):
        a, b, c, d = x[k], x[k + 1], x[k + 2], x[k + 3]
        wa, wb, wc, wd = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for j in range(columns):
            out[j] += a * wa[j] + b * wb[j] + c * wc[j] + d * wd[j]
    for k in range(whole, rows):
        a = x[k]
        wa = weight[k]
        for j in range(columns):
            out[j] += a * wa[j]


@compiled
def _advance(gates: F32, hidden: F32, cell: F32) -> None:
    """One LSTM step from its pre-activations ``gates`` (4h,), in the order i, f, g, o."""
    h = hidden.shape[0]
    gi, gf, gg, go = gates[:h], gates[h : 2 * h], gates[2 * h : 3 * h], gates[3 * h :]
    for j in range(h):
        cell[j] = _sigmoid(gf[j]) * cell[j] + _sigmoid(gi[j]) * _tanh(gg[j])
    for j in range(h):
        hidden[j] = _sigmoid(go[j]) * _tanh(cell[j])


@compiled
def reconstruct_last(
    readings: F64,
    ends: I64,
    window: int,
    clip: float,
    encoder_in: F32,
    encoder_bias: F32,
    encoder_hidden: F32,
    code_weight: F32,
    code_bias: F32,
    decoder_in: F32,
    decoder_bias: F32,
    out_weight: F32,
    out_bias: F32,
) -> F32:
    """Reconstruction of the last reading of each window.

    Parameters
    ----------
    readings : (m, d)
    ends : (n,)
        Window i is ``readings[ends[i] - window + 1 : ends[i] + 1]``.
    encoder_in, encoder_hidden : (d, 4h), (h, 4h)
    code_weight, decoder_in, out_weight : (h, c), (c, 4h), (h, d)

    Returns
    -------
    (n, d)

    Notes
    -----
    Readings are clipped to ``[-clip, clip]`` for the encoder only. The projections of the last
    ``window`` readings lie in a ring, each slot marked with the reading it belongs to, so
    windows that end at consecutive readings project one reading each.
    """
    d = readings.shape[1]
    h = encoder_hidden.shape[0]
    clipped = np.empty(d, np.float32)
    ring = np.empty((window, 4 * h), np.float32)
    owner = np.full(window, -1, np.int64)
    gates = np.empty(4 * h, np.float32)
    hidden = np.empty(h, np.float32)
    cell = np.empty(h, np.float32)
    code = np.empty(code_bias.shape[0], np.float32)
    out = np.empty((ends.shape[0], d), np.float32)
    for i in range(ends.shape[0]):
        hidden[:] = 0
        cell[:] = 0
        for reading in range(ends[i] - window + 1, ends[i] + 1):
            slot = reading % window
            if owner[slot] != reading:
                ring[slot] = encoder_bias
                for k in range(d):
                    clipped[k] = min(max(readings[reading, k], -clip), clip)
                _accumulate(ring[slot], clipped, encoder_in)
                owner[slot] = reading
            gates[:] = ring[slot]
            _accumulate(gates, hidden, encoder_hidden)
            _advance(gates, hidden, cell)
        code[:] = code_bias
        _accumulate(code, hidden, code_weight)
        # The decoder starts from a zero state, so its first step needs no recurrent product.
        gates[:] = decoder_bias
        _accumulate(gates, code, decoder_in)
        cell[:] = 0
        _advance(gates, hidden, cell)
        out[i] = out_bias
        _accumulate(out[i], hidden, out_weight)
    return out


@compiled
def whitened_error(readings: F64, ends: I64, reconstruction: F32, whitening: F64) -> F64:
    """Root mean square of ``(reading - reconstruction) @ whitening`` over its d values; (n,).

    Divided by its largest term before squaring, so that no finite reading overflows.
    """
    d = readings.shape[1]
    out = np.empty(ends.shape[0])
    error = np.empty(d)
    for i in range(ends.shape[0]):
        error[:] = 0.0
        for k in range(d):
            gap = readings[ends[i], k] - reconstruction[i, k]
            for j in range(d):
                error[j] += gap * whitening[k, j]
        largest = 1e-300
        for j in range(d):
            largest = max(largest, abs(error[j]))
        total = 0.0
        for j in range(d):
            part = error[j] / largest
            total += part * part
        out[i] = largest * np.sqrt(total / d)
    return out
