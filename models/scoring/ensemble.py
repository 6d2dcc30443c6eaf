"""Score streams with one model set, as a pure generator.

``run`` yields the detector calls it needs and is sent their answers. The service can thus pass the
calls to runners, while back-tests and benchmarks call the detectors directly. ``run`` keeps no
state: a stream's state arrives with its work and is returned with its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from errors import AnomalyError, InputError, MissingFeatures
from models.detectors.base import LSTM_AUTOENCODER, Array, Detector
from models.scoring.decision import StreamScorer, error_entry
from models.scoring.explanation import Explainer
from models.scoring.magnitudes.calibrated_scores import CalibratedScores
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.prepared import BAD_STATE, RESET, PreparedStream
from models.scoring.readings.windows import prepare
from models.scoring.stream_work import StreamWork


@dataclass(slots=True)
class DetectorCall:
    """A detector call: ``method`` on ``x``, scaled rows (n, d) or windows (n, w, d)."""

    detector: str
    method: Literal["score", "explain"]
    x: Array


@dataclass(slots=True)
class StreamOutcome:
    """Outcome of one stream's work; ``results`` holds one entry per reading."""

    results: list[dict[str, Any]]
    make_state: Callable[[], dict[str, Any]]
    window_length: int

    @property
    def state(self) -> dict[str, Any]:
        """State for the stream's next work; built on demand, since many callers do not need it."""
        return self.make_state()


def run(
    model_set: ModelSet, works: Sequence[StreamWork], policy: ScoringPolicy
) -> Generator[list[DetectorCall], list[Array], list[StreamOutcome]]:
    """Score works of this model set's group.

    Yields lists of detector calls; send back their answers, as arrays in the same order. A
    stream that cannot be scored at all gets an error entry for every reading.

    Parameters
    ----------
    model_set
        Model set of the streams' group.
    works
        Readings to score, with each stream's state and window.
    policy
        Budgets, adaptation and other settings.
    """
    width = model_set.window if model_set.window > 1 else 0
    outcomes: list[StreamOutcome | None] = []
    streams: list[PreparedStream] = []
    for work in works:
        try:
            streams.append(_prepare(model_set, width, work, policy.gap_factor))
            outcomes.append(None)
        except AnomalyError as error:
            outcomes.append(_refused(model_set, work, error))
    explainer = Explainer(model_set.preprocessing)
    results: list[list[dict[str, Any]]] = [[] for _ in streams]
    waiting = list(enumerate(streams))
    while waiting:
        current = [stream for _, stream in waiting]
        calls = _calls(model_set, current)
        raw: dict[str, Array] = {}
        if calls:
            answers = yield calls
            for call, answer in zip(calls, answers, strict=True):
                raw[call.detector] = np.asarray(answer, np.float64)
        scored = _calibrated(model_set, current, raw)
        # where a stream's levels changed, the readings after the change are scored again
        first_row, again = 0, []
        for index, stream in waiting:
            found = StreamScorer(model_set, stream, scored, policy, explainer).results(first_row)
            results[index] += found
            if len(found) < len(stream.readings):
                again.append((index, stream.rest(len(found))))
            first_row += len(stream.rows)
        waiting = again
    asked = [DetectorCall(name, "explain", x) for name, x in explainer.wanted()]
    explainer.fill((yield asked) if asked else [])
    done = iter(map(partial(_outcome, model_set), streams, results))
    return [next(done) if outcome is None else outcome for outcome in outcomes]


def _prepare(
    model_set: ModelSet, width: int, work: StreamWork, gap_factor: float
) -> PreparedStream:
    """Read the stream's state, apply resets and closed events, and prepare its readings.

    Raises
    ------
    InputError
        ``bad_state``. With ``work.renew`` the stream restarts instead; its first result says so.
    """
    try:
        state, renewed = model_set.state(work.state), False
    except InputError:
        if not work.renew:
            raise
        state, renewed = model_set.state(None), True
        work = replace(work, state=None)
    ended = state.settling.close(work.closed_events) if work.closed_events else []
    resets = work.reset > state.reset
    if resets and work.state is not None:
        ended += state.restart(work.reset, model_set.new_tail())
    elif resets:
        resets, state.reset = False, work.reset
    stream = prepare(model_set.preprocessing, width, state, work, gap_factor, model_set.group)
    first = next((reading for reading in stream.readings if reading.error is None), None)
    if renewed and first is not None:
        first.restarted = BAD_STATE
    if resets and first is not None:
        first.restarted = RESET
    if first is not None:
        first.ended = ended
    return stream


def score(
    model_set: ModelSet, works: Sequence[StreamWork], policy: ScoringPolicy | None = None
) -> list[StreamOutcome]:
    """Drive :func:`run` with the model set's own detectors.

    Parameters
    ----------
    model_set, works, policy
        Those of :func:`run`.
    """
    steps = run(model_set, works, policy or ScoringPolicy())
    try:
        calls = next(steps)
        while True:
            calls = steps.send([_answer(model_set.detectors, call) for call in calls])
    except StopIteration as stop:
        outcomes: list[StreamOutcome] = stop.value
        return outcomes


def _answer(detectors: Mapping[str, Detector], call: DetectorCall) -> Array:
    detector = detectors[call.detector]
    return detector.score(call.x) if call.method == "score" else detector.explain(call.x)


def _calls(model_set: ModelSet, streams: list[PreparedStream]) -> list[DetectorCall]:
    rows = [s.rows for s in streams if len(s.rows)]
    if not rows:
        return []
    x = rows[0] if len(rows) == 1 else np.concatenate(rows)
    calls = [DetectorCall(name, "score", x) for name in model_set.points]
    windows = [s.windows for s in streams if s.windows is not None]
    if windows:
        w = windows[0] if len(windows) == 1 else np.concatenate(windows)
        calls.append(DetectorCall(LSTM_AUTOENCODER, "score", w))
    return calls


def _calibrated(
    model_set: ModelSet, streams: list[PreparedStream], raw: dict[str, Array]
) -> CalibratedScores:
    """Calibrate all streams' rows, per detector and combined."""
    good = [r for s in streams for r in s.readings if r.error is None]
    n = len(good)
    windowed = np.fromiter((r.windowed for r in good), bool, n)
    warm = np.fromiter((r.warm for r in good), bool, n)
    if LSTM_AUTOENCODER in raw:
        by_row = np.zeros(n)
        by_row[windowed] = raw[LSTM_AUTOENCODER]
        raw = {**raw, LSTM_AUTOENCODER: by_row}
    out = CalibratedScores(model_set.names, n)
    for has_window in (True, False):
        for is_warm in (True, False):
            mask = (windowed == has_window) & (warm == is_warm)
            if not mask.any():
                continue
            cal = model_set.calibration(has_window, is_warm)
            if cal is not None:
                out.put(mask, cal, {name: raw[name][mask] for name in cal.detectors})
    return out


def _outcome(
    model_set: ModelSet, stream: PreparedStream, results: list[dict[str, Any]]
) -> StreamOutcome:
    state = partial(stream.state.to_dict, model_set.version, model_set.preprocessing)
    return StreamOutcome(results, state, model_set.window_length)


def _refused(model_set: ModelSet, work: StreamWork, error: AnomalyError) -> StreamOutcome:
    entries = [error_entry(error) for _ in work.readings]
    return StreamOutcome(entries, lambda: work.state or {}, model_set.window_length)


def missing(model_set: ModelSet, features: Mapping[str, float]) -> MissingFeatures | None:
    """Return the error that a reading with these features would get, without scoring it."""
    try:
        model_set.preprocessing.absent(features)
    except MissingFeatures as error:
        return error
    return None
