"""Prepare a Python worker of Spark before its first task: threads, memory, bundle."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Final

import pyarrow as pa

from models.bundles.bundle import Bundle
from runtime import one_blas_thread, settle_memory

#: One thread per task for libraries that start their own, because Spark gives each task a core.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                      "NUMBA_NUM_THREADS")  # fmt: skip
_ONLY_OURS: Final = "FLEET_WORKER"
#: Environment of the workers in a session of our own.
ENVIRONMENT: Final = {
    **dict.fromkeys((*_ONE_THREAD, _ONLY_OURS), "1"),
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # the other pools keep freed memory
}


@lru_cache(maxsize=2)
def shipped(name: str, version: str) -> Bundle:
    """Load a bundle sent by :func:`fleet.spark.ship`; cached, since workers run many tasks."""
    from pyspark import SparkFiles

    one_thread()
    without_pandas()
    bundle = Bundle.load(Path(SparkFiles.get(name)), version)
    settle_memory()
    return bundle


@lru_cache(maxsize=1)
def one_thread() -> None:
    """Limit BLAS and Numba of this worker to one thread, regardless of the environment."""
    import numba

    one_blas_thread()
    numba.set_num_threads(1)


def without_pandas() -> None:
    """Prevent Arrow from importing pandas, which takes 40 MB, in a worker of our own session.

    Arrow tries this import only once; other code, such as a fit, can still import pandas later.
    """
    if _ONLY_OURS in os.environ and "pandas" not in sys.modules:
        barred = _NoPandas()
        sys.meta_path.insert(0, barred)
        pa.array([None])
        sys.meta_path.remove(barred)


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("Arrow needs no pandas here", name=name)
