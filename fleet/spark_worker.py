"""What a Python worker of Spark's does once, before its first task: small, one thread, a bundle."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Final

import pyarrow as pa

from models.bundles.bundle import Bundle
from runtime import settle_memory

#: One thread per task of whatever would start its own: Spark gives each core a task.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                      "NUMBA_NUM_THREADS")  # fmt: skip
_ONLY_OURS: Final = "FLEET_WORKER"
#: Environment of the workers of a session that is ours alone.
ENVIRONMENT: Final = {
    **dict.fromkeys((*_ONE_THREAD, _ONLY_OURS), "1"),
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others keep what is freed
}


@lru_cache(maxsize=2)
def shipped(name: str, version: str) -> Bundle:
    """Load what :func:`fleet.spark.ship` sent: once per worker, which Spark uses for many tasks."""
    from pyspark import SparkFiles

    one_thread()
    without_pandas()
    bundle = Bundle.load(Path(SparkFiles.get(name)), version)
    settle_memory()
    return bundle


@lru_cache(maxsize=1)
def one_thread() -> None:
    """Keep BLAS and Numba of this worker to one thread, whatever its environment says."""
    import numba
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    numba.set_num_threads(1)


def without_pandas() -> None:
    """Spare a worker that nobody else uses the 40 MB of pandas, which Arrow loads if it can.

    Arrow looks for it once; what else may need it, such as a fit, still finds it afterwards.
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
