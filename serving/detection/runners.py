"""Run the three detectors, in the API process or as runner services.

A runner answers *calls*: small dicts with bundle, group, method and one array. Concurrent calls
for the same model are stacked and scored together; a call that fails does not affect the others.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cachetools import LRUCache

from errors import AnomalyError, BundleError, Unavailable
from models.bundles.bundle import Bundle
from models.detectors.base import MODEL_NAMES, Array
from models.scoring.ensemble import DetectorCall
from runtime import one_blas_thread
from serving import metrics

log = logging.getLogger("bentoml.serving.runners")

#: Minimum rows for running detectors in parallel threads; below, a thread costs more than it saves.
SIDE_BY_SIDE = 128
#: A scoring call is idempotent, so it is retried after a dropped connection.
TRIES = 4


_SIZES = {name: metrics.BATCH.labels(f"runner.{name}") for name in MODEL_NAMES}


class BundleCache:
    """Cache the bundles of a runner process by folder name; the two newest are kept.

    Parameters
    ----------
    home : Path
        ``VAR_DIR/bundles``. A name cannot refer to a folder outside.
    packed : Path, optional
        The bundle packed in the Bento, also found by its folder's name.
    """

    def __init__(self, home: Path, packed: Path | None = None) -> None:
        self._home = home.resolve()
        self._packed = packed
        self._loaded: LRUCache[str, Bundle] = LRUCache(2)

    def get(self, name: str) -> Bundle:
        """Return the bundle in folder ``name``; load it if necessary.

        Raises BundleError when it cannot be loaded.
        """
        if name not in self._loaded:
            folder = (self._home / name).resolve()
            if self._packed is not None and name == self._packed.name:
                folder = self._packed
            elif folder.parent != self._home:
                raise AnomalyError(f"{name!r} is not a bundle's folder", code="bad_bundle")
            self._loaded[name] = Bundle.load(folder)
            one_blas_thread()
        return self._loaded[name]


def compute(bundle: Bundle, group: str, detector: str, method: str, x: Array) -> Array:
    """Execute one call of one detector.

    Parameters
    ----------
    bundle : Bundle
    group, detector : str
        Select the model of the bundle.
    method : {"score", "explain"}
    x : array, shape (n, d) or (n, window, d)
        Scaled rows or windows.

    Returns
    -------
    array
        Shape (n,) for scores, that of ``x`` for explanations.
    """
    model = bundle.model_set(group).detectors[detector]
    return model.explain(x) if method == "explain" else model.score(x)


class DetectorRunner:
    """Answer batches of calls for one detector.

    Parameters
    ----------
    detector : str
        A name of ``MODEL_NAMES``.
    bundles : BundleCache
    """

    def __init__(self, detector: str, bundles: BundleCache) -> None:
        self.detector = detector
        self._bundles = bundles

    def answer(self, calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer each call with ``{"y": array}`` or ``{"error": ...}``; never raises."""
        answers: list[dict[str, Any]] = [{} for _ in calls]
        alike: dict[tuple[Any, ...], dict[int, Array]] = {}
        for index, call in enumerate(calls):
            try:
                x = unpack(call["x"])
                kind = (call["bundle"], call["group"], call["method"], x.shape[1:], x.dtype.str)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                answers[index] = {"error": {"code": "bad_call", "message": repr(error)}}
            else:
                alike.setdefault(kind, {})[index] = x
        for (name, group, method, *_), parts in alike.items():
            found = self._stacked(name, group, method, list(parts.values()))
            for index, answer in zip(parts, found, strict=True):
                if "y" in answer:
                    answer["y"] = pack(answer["y"], bool(calls[index].get("text")))
                answers[index] = answer
        return answers

    def _stacked(
        self, name: str, group: str, method: str, parts: list[Array]
    ) -> list[dict[str, Any]]:
        """Score calls of one kind together; if this fails, each alone to find the bad one."""
        x = parts[0] if len(parts) == 1 else np.concatenate(parts)
        _SIZES[self.detector].observe(len(x))
        try:
            y = compute(self._bundles.get(name), group, self.detector, method, x)
        except Exception as error:
            if len(parts) == 1:
                return [{"error": self._entry(error)}]
            return [self._stacked(name, group, method, [part])[0] for part in parts]
        return [{"y": one} for one in np.split(y, np.cumsum([len(part) for part in parts[:-1]]))]

    def _entry(self, error: Exception) -> dict[str, Any]:
        """Return the error for the caller to raise.

        A missing bundle may still arrive, so it is retriable; a failure of the detector would
        repeat, so it is not.
        """
        if isinstance(error, AnomalyError):
            return {**error.entry(), "retriable": isinstance(error, BundleError)}
        log.error("runner %s failed", self.detector, exc_info=error)
        message = f"runner {self.detector} failed; see its log"
        return {"code": "runner_failed", "message": message, "retriable": False}


def folder_of(bundle: Bundle) -> str:
    """Return the name by which runner processes find a bundle."""
    if bundle.folder is None:
        raise BundleError("an unsaved bundle cannot be scored by other processes")
    return bundle.folder.name


def pack(x: Array, text: bool) -> Any:
    """Prepare an array for another process: unchanged, or as text if only JSON is accepted."""
    if not text:
        return x
    content = base64.b64encode(np.ascontiguousarray(x).tobytes()).decode()
    return {"shape": list(x.shape), "dtype": x.dtype.str, "data": content}


def unpack(packed: Any) -> Array:
    """Return the array that :func:`pack` prepared, in either form."""
    if isinstance(packed, np.ndarray):
        return packed
    raw = base64.b64decode(packed["data"])
    return np.frombuffer(raw, dtype=np.dtype(packed["dtype"])).reshape(packed["shape"])


class Runners(Protocol):
    """Execute detector calls, here or elsewhere."""

    def call(self, bundle: Bundle, group: str, calls: Sequence[DetectorCall]) -> list[Array]:
        """Answer the calls in their order; blocks, so never call this in the event loop's thread.

        Parameters
        ----------
        bundle : Bundle
        group : str
            Whose models are called.
        calls : sequence of DetectorCall
        """


class LocalRunners:
    """Run detector calls in this process, in parallel threads if there is enough to score."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="detector")

    def call(self, bundle: Bundle, group: str, calls: Sequence[DetectorCall]) -> list[Array]:
        """Answer the calls in their order.

        Parameters
        ----------
        bundle : Bundle
        group : str
            Whose models are called.
        calls : sequence of DetectorCall
        """
        for call in calls:
            _SIZES[call.detector].observe(len(call.x))
        if len(calls) > 1 and max(len(call.x) for call in calls) >= SIDE_BY_SIDE:
            # start the slowest one, last in the list, first
            futures = [
                self._pool.submit(compute, bundle, group, call.detector, call.method, call.x)
                for call in reversed(calls)
            ]
            return [future.result() for future in reversed(futures)]
        return [compute(bundle, group, call.detector, call.method, call.x) for call in calls]


@dataclass(frozen=True, slots=True)
class RemoteRunners:
    """Send detector calls to runner services, through BentoML's proxies.

    Parameters
    ----------
    score : mapping of detector name to async callable
        ``score(calls) -> answers``, the runner service's API.
    loop : asyncio.AbstractEventLoop
        The event loop of the proxies.
    as_text : set of str
        Detectors whose runner is reached over TCP, where only JSON is accepted.
    timeout : float
        Seconds for one round of calls.
    """

    score: Mapping[str, Callable[[list[dict[str, Any]]], Awaitable[list[dict[str, Any]]]]]
    loop: asyncio.AbstractEventLoop
    as_text: frozenset[str] = frozenset()
    timeout: float = 30.0

    def call(self, bundle: Bundle, group: str, calls: Sequence[DetectorCall]) -> list[Array]:
        """Send all calls at once; return their answers in order.

        Raises Unavailable when the runners do not answer in time.

        Parameters
        ----------
        bundle : Bundle
            A saved bundle: runners find it by its folder.
        group : str
            Whose models are called.
        calls : sequence of DetectorCall
        """
        round_ = asyncio.run_coroutine_threadsafe(self._all(bundle, group, calls), self.loop)
        try:
            return round_.result(self.timeout)
        except TimeoutError:
            round_.cancel()
            raise Unavailable("the runners did not answer in time", code="runner_slow") from None

    async def _all(self, bundle: Bundle, group: str, calls: Sequence[DetectorCall]) -> list[Array]:
        return await asyncio.gather(*(self._one(folder_of(bundle), group, c) for c in calls))

    async def _one(self, name: str, group: str, call: DetectorCall) -> Array:
        text = call.detector in self.as_text
        content = {
            "bundle": name,
            "group": group,
            "method": call.method,
            "x": pack(call.x, text),
            "text": text,
        }
        for attempt in range(TRIES):
            try:
                (answer,) = await self.score[call.detector]([content])
                break
            except Exception as error:
                if attempt == TRIES - 1:
                    raise Unavailable(
                        f"runner {call.detector} cannot be reached: {error!r}",
                        code="runner_unavailable",
                        retry_after=2,
                    ) from error
                metrics.RETRIES.labels(call.detector).inc()
                await asyncio.sleep(0.02 * 2**attempt)
        if "error" in answer:
            entry = answer["error"]
            kind = Unavailable if entry.get("retriable") else AnomalyError
            raise kind(entry["message"], code=entry["code"])
        return unpack(answer["y"])
