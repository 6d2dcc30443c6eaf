"""Bound the files that the service leaves under VAR_DIR: fetched bundles, data of jobs.

The leading worker looks once an hour.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.bundles.atomic_files import folder_bytes, prune_folders
from serving import metrics
from serving.background import PeriodicWork
from serving.training_queue import tidy

log = logging.getLogger("bentoml.serving.housekeeping")

EVERY_S = 3600.0


class Housekeeping(PeriodicWork):
    """Prune the folders of fetched bundles and of training jobs, and measure them.

    Parameters
    ----------
    leads : callable
        Whether this worker is the one that does it.
    champion : callable
        What is known of the bundle in force; its ``folder`` stays.
    var_dir : Path
    bundles_kept : int
        Bundles that stay besides.
    jobs_kept_days : int
        Days that a job's files stay; 0: for ever.
    """

    failure = "files under VAR_DIR cannot be tidied up"

    def __init__(
        self,
        leads: Callable[[], bool],
        champion: Callable[[], dict[str, Any]],
        var_dir: Path,
        bundles_kept: int,
        jobs_kept_days: int,
    ) -> None:
        super().__init__(EVERY_S)
        self._leads = leads
        self._champion = champion
        self._bundles = var_dir / "bundles"
        self._jobs = var_dir / "jobs"
        self._bundles_kept = bundles_kept
        self._jobs_kept_days = jobs_kept_days

    async def once(self) -> None:
        """Look, if this worker leads."""
        if self._leads():
            await asyncio.to_thread(self.tidy_up, time.time())

    def tidy_up(self, now: float) -> None:
        """Prune and measure, ``now`` being seconds since 1970."""
        if self._bundles.is_dir():
            folder = self._champion().get("folder")
            gone = prune_folders(self._bundles, self._bundles_kept, {str(folder)}, now)
            if gone:
                log.info("bundles removed from %s: %s", self._bundles, ", ".join(gone))
            metrics.FILES.labels("bundles").set(folder_bytes(self._bundles))
        if self._jobs.is_dir():
            tidy(self._jobs, self._jobs_kept_days)
            metrics.FILES.labels("jobs").set(folder_bytes(self._jobs))
