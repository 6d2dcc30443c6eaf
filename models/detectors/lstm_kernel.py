"""Run the LSTM autoencoder's forward pass as one Numba kernel (see ``lstm_autoencoder``).

Two windows advance in parallel, so that each loaded weight serves both. Sums are chains of explicit
fused multiply-adds, in the same order for one window as for two, so the result is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from models.detectors.kernels import F32, F64, I64, compiled

_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693145751953125)
_LN2_LOW = np.float32(1.4286068203094173e-06)
_LIMIT = np.float32(87.0)  # exp(87) still is a float32
_TANH_LIMIT = np.float32(20.0)  # tanh is 1 to rounding from 10 on
_BIAS = np.int32(127)
_ROUND = np.float32(127.5)
_MANTISSA = np.int32(23)
_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_T2, _T3, _T4 = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 24)
_T5, _T6, _T7 = np.float32(1 / 120), np.float32(1 / 720), np.float32(1 / 5040)


@intrinsic  # type: ignore[untyped-decorator]
def _float32_of_bits(_context: Any, _bits: Any) -> Any:
    def code(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), code


@intrinsic  # type: ignore[untyped-decorator]
def _fma(_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
    def code(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float32(types.float32, types.float32, types.float32), code


@compiled
def _exp(x: Any) -> Any:
    """Return ``exp(x)`` for ``|x| <= 87`` to 2e-7 relative, in arithmetic that vectorises."""
    n = np.int32(x * _LOG2E + _ROUND) - _BIAS
    f = np.float32(n)
    r = _fma(f, -_LN2_LOW, _fma(f, -_LN2_HIGH, x))
    p = _fma(_T7, r, _T6)
    p = _fma(p, r, _T5)
    p = _fma(p, r, _T4)
    p = _fma(p, r, _T3)
    p = _fma(p, r, _T2)
    p = _fma(p, r, _ONE)
    p = _fma(p, r, _ONE)
    return p * _float32_of_bits(np.int32((n + _BIAS) << _MANTISSA))


@compiled
def _decay(x: Any) -> Any:
    """``exp(-x)``, so that sigmoid(x) is ``1 / (1 + decay)``."""
    return _exp(-min(max(x, -_LIMIT), _LIMIT))


@compiled
def _decay2(x: Any) -> Any:
    """``exp(-2 x)``, so that tanh(x) is ``(1 - decay) / (1 + decay)``."""
    return _exp(-_TWO * min(max(x, -_TANH_LIMIT), _TANH_LIMIT))


@compiled
def _advance(gates: F32, hidden: F32, cell: F32) -> None:
    """Take one LSTM step from its pre-activations ``gates`` (4h,), in the order i, f, g, o.

    Products of a sigmoid and a tanh are written as one fraction: division is costly.
    """
    h = hidden.shape[0]
    gi, gf, gg, go = gates[:h], gates[h : 2 * h], gates[2 * h : 3 * h], gates[3 * h :]
    for j in range(h):
        decay = _decay2(gg[j])
        fresh = (_ONE - decay) / ((_ONE + decay) * (_ONE + _decay(gi[j])))
        cell[j] = _fma(cell[j], _ONE / (_ONE + _decay(gf[j])), fresh)
    for j in range(h):
        decay = _decay2(cell[j])
        hidden[j] = (_ONE - decay) / ((_ONE + decay) * (_ONE + _decay(go[j])))


@compiled
def _add(out: F32, x: F32, weight: F32) -> None:
    """``out += x @ weight`` for one row, four rows of ``weight`` at a time."""
    rows, columns = weight.shape
    whole = rows - rows % 4
    for k in range(0, whole, 4):
        a, b, c, d = x[k], x[k + 1], x[k + 2], x[k + 3]
        wa, wb, wc, wd = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for j in range(columns):
            out[j] = _fma(d, wd[j], _fma(c, wc[j], _fma(b, wb[j], _fma(a, wa[j], out[j]))))
    for k in range(whole, rows):
        for j in range(columns):
            out[j] = _fma(x[k], weight[k, j], out[j])


@compiled
def _add_two(out: F32, other: F32, x: F32, y: F32, weight: F32) -> None:
    """``_add`` for two rows at once."""
    rows, columns = weight.shape
    whole = rows - rows % 4
    for k in range(0, whole, 4):
        a, b, c, d = x[k], x[k + 1], x[k + 2], x[k + 3]
        e, f, g, h = y[k], y[k + 1], y[k + 2], y[k + 3]
        wa, wb, wc, wd = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for j in range(columns):
            u, v, w, z = wa[j], wb[j], wc[j], wd[j]
            out[j] = _fma(d, z, _fma(c, w, _fma(b, v, _fma(a, u, out[j]))))
            other[j] = _fma(h, z, _fma(g, w, _fma(f, v, _fma(e, u, other[j]))))
    for k in range(whole, rows):
        for j in range(columns):
            out[j] = _fma(x[k], weight[k, j], out[j])
            other[j] = _fma(y[k], weight[k, j], other[j])


@compiled
def _clip(out: F32, reading: F64, clip: float) -> None:
    for k in range(out.shape[0]):
        out[k] = min(max(reading[k], -clip), clip)


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
    """Reconstruct the last reading of each window.

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
    Readings are clipped to ``[-clip, clip]`` for the encoder only. A ring buffer holds the
    projections of the last ``window`` readings and which reading each belongs to, so consecutive
    windows need one projection each.
    """
    d = readings.shape[1]
    h = encoder_hidden.shape[0]
    x = np.empty((2, d), np.float32)
    ring = np.empty((window, 4 * h), np.float32)
    owner = np.full(window, -1, np.int64)
    gates = np.empty((2, 4 * h), np.float32)
    hidden = np.empty((2, h), np.float32)
    cell = np.empty((2, h), np.float32)
    code = np.empty(code_bias.shape[0], np.float32)
    out = np.empty((ends.shape[0], d), np.float32)
    for i in range(0, ends.shape[0], 2):
        pair = min(2, ends.shape[0] - i)
        hidden[:] = 0
        cell[:] = 0
        for step in range(1 - window, 1):
            first, second = ends[i] + step, ends[i + pair - 1] + step
            here, there = first % window, second % window
            if here != there and owner[here] != first and owner[there] != second:
                _clip(x[0], readings[first], clip)
                _clip(x[1], readings[second], clip)
                ring[here] = encoder_bias
                ring[there] = encoder_bias
                _add_two(ring[here], ring[there], x[0], x[1], encoder_in)
                owner[here] = first
                owner[there] = second
            for which in range(pair):
                reading = second if which else first
                slot = reading % window
                if owner[slot] != reading:
                    _clip(x[0], readings[reading], clip)
                    ring[slot] = encoder_bias
                    _add(ring[slot], x[0], encoder_in)
                    owner[slot] = reading
                gates[which] = ring[slot]
            if pair == 2:
                _add_two(gates[0], gates[1], hidden[0], hidden[1], encoder_hidden)
            else:
                _add(gates[0], hidden[0], encoder_hidden)
            for which in range(pair):
                _advance(gates[which], hidden[which], cell[which])
        for which in range(pair):
            code[:] = code_bias
            _add(code, hidden[which], code_weight)
            # The decoder starts from a zero state: no recurrent product in its first step.
            gates[which] = decoder_bias
            _add(gates[which], code, decoder_in)
            cell[which] = 0
            _advance(gates[which], hidden[which], cell[which])
            out[i + which] = out_bias
            _add(out[i + which], hidden[which], out_weight)
    return out
