"""What a worker that scores holds beside its bundle."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fleet.spark_worker import ENVIRONMENT

SCRIPT = """
import sys
import pyarrow as pa
import fleet.stream_scoring
from fleet.spark_worker import without_pandas
without_pandas()
pa.array(["Arrow looks for pandas"])
print(pa.default_memory_pool().backend_name, "pandas" in sys.modules)
import pandas  # a fit in the same worker still can
"""


@pytest.mark.slow
@pytest.mark.parametrize(("given", "printed"), [(ENVIRONMENT, "system False"), ({}, "True")])
def test_only_a_worker_of_ours_alone_is_spared_pandas(given: dict[str, str], printed: str) -> None:
    """Others may share a worker of a session that was open before."""
    environment = {**os.environ, **given, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith(printed)
