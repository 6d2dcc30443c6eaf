"""Run the three detectors: one class for runners in the API process and for runner services.

A runner answers *calls*: small dicts that name the bundle, the group and the method, with one
array. Calls that arrive together and want the same are stacked and scored in one go; a call that
fails takes only itself down.
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
from serving import metrics

log = logging.getLogger("bentoml.serving.runners")

#: Rows from which on the detectors of one process run side by side; below, a thread costs more.
SIDE_BY_SIDE = 128
#: A scoring call is idempotent, so a dropped connection is tried again.
TRIES = 4


_SIZES = {name: metrics.BATCH.labels(f"runner.{name}") for name in MODEL_NAMES}


class BundleCache:
    """Cache the bundles that a runner process has loaded, by folder name; the newest two stay.

    Parameters
    ----------
    home : Path
        ``VAR_DIR/bundles``. Names never lead out of it.
    packed : Path, optional
        The bundle that came with the Bento, known by its folder's name as well.
    """

    def __init__(self, home: Path, packed: Path | None = None) -> None:
        self._home = home.resolve()
        self._packed = packed
        self._loaded: LRUCache[str, Bundle] = LRUCache(2)

    def get(self, name: str) -> Bundle:
        """Return the bundle in folder ``name``, loaded if need be.

        Raises BundleError when it cannot be loaded.
        """
        if name not in self._loaded:
            folder = (self._home / name).resolve()
            if self._packed is not None and name == self._packed.name:
                folder = self._packed
            elif folder.parent != self._home:
                raise AnomalyError(f"{name!r} is not a bundle's folder", code="bad_bundle")
            self._loaded[name] = Bundle.load(folder)
        return self._loaded[name]


def compute(bundle: Bundle, group: str, detector: str, method: str, x: Array) -> Array:
    """Carry out one call of one detector.

    Parameters
    ----------
    bundle : Bundle
    group, detector : str
        Which of the bundle's models.
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
        for place, call in enumerate(calls):
            try:
                x = unpack(call["x"])
                kind = (call["bundle"], call["group"], call["method"], x.shape[1:], x.dtype.str)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                answers[place] = {"error": {"code": "bad_call", "message": repr(error)}}
            else:
                alike.setdefault(kind, {})[place] = x
        for (name, group, method, *_), parts in alike.items():
            found = self._stacked(name, group, method, list(parts.values()))
            for place, answer in zip(parts, found, strict=True):
                if "y" in answer:
                    answer["y"] = pack(answer["y"], bool(calls[place].get("text")))
                answers[place] = answer
        return answers

    def _stacked(
        self, name: str, group: str, method: str, parts: list[Array]
    ) -> list[dict[str, Any]]:
        """Score calls of one kind together; when that fails, each alone: one is to blame."""
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
        """Return the error as the caller is to raise it.

        A bundle may still arrive here, so that is worth another try; what a detector cannot score
        once it cannot score the next time either.
        """
        if isinstance(error, AnomalyError):
            return {**error.entry(), "retriable": isinstance(error, BundleError)}
        log.error("runner %s failed", self.detector, exc_info=error)
        message = f"runner {self.detector} failed; its log has the error"
        return {"code": "runner_failed", "message": message, "retriable": False}


def folder_of(bundle: Bundle) -> str:
    """Return the name by which runner processes find a bundle."""
    if bundle.folder is None:
        raise BundleError("a bundle that was never saved cannot be scored by other processes")
    return bundle.folder.name


def pack(x: Array, text: bool) -> Any:
    """Prepare an array to be sent to a process: unchanged, or as text where only JSON passes."""
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
    """Interface of where detector calls go."""

    def call(self, bundle: Bundle, group: str, calls: Sequence[DetectorCall]) -> list[Array]:
        """Answer the calls in their order; blocks, so not from the event loop's thread.

        Parameters
        ----------
        bundle : Bundle
        group : str
            Whose models are called.
        calls : sequence of DetectorCall
        """


class LocalRunners:
    """Run detector calls in this process, side by side when there is much to score."""

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
            # the heaviest, last in the list, is started first
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
        The loop the proxies live in.
    as_text : set of str
        Detectors whose runner is reached over TCP, where only JSON passes.
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
            One that was saved: runners know it by its folder.
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
