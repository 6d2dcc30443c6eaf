"""Bound the files that the service leaves under VAR_DIR: fetched bundles, data of jobs.

The leading worker looks once an hour.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from models.bundles.atomic_files import folder_bytes, prune_folders
from serving import metrics
from serving.background import PeriodicWork
from serving.bundles.champion import Champion
from serving.training_queue import tidy

log = logging.getLogger("bentoml.serving.housekeeping")

EVERY_S = 3600.0


class Housekeeping(PeriodicWork):
    """Prune the folders of fetched bundles and of training jobs, and measure them.

    Parameters
    ----------
    champion : Champion
        Whose leader does it; the folder of the bundle in force stays.
    jobs : Path
        Folder of the training jobs' files.
    bundles_kept : int
        Bundles that stay besides.
    jobs_kept_days : int
        Days that a job's files stay; 0: for ever.
    """

    failure = "files under VAR_DIR cannot be tidied up"

    def __init__(
        self, champion: Champion, jobs: Path, bundles_kept: int, jobs_kept_days: int
    ) -> None:
        super().__init__(EVERY_S)
        self._champion = champion
        self._jobs = jobs
        self._bundles_kept = bundles_kept
        self._jobs_kept_days = jobs_kept_days

    async def once(self) -> None:
        """Look, if this worker leads."""
        if self._champion.leadership.try_acquire():
            await asyncio.to_thread(self.tidy_up, time.time())

    def tidy_up(self, now: float) -> None:
        """Prune and measure, ``now`` being seconds since 1970."""
        bundles = self._champion.home
        if bundles.is_dir():
            folder = str(self._champion.read().get("folder"))
            gone = prune_folders(bundles, self._bundles_kept, {folder}, now)
            if gone:
                log.info("bundles removed from %s: %s", bundles, ", ".join(gone))
            metrics.FILES.labels("bundles").set(folder_bytes(bundles))
        if self._jobs.is_dir():
            tidy(self._jobs, self._jobs_kept_days)
            metrics.FILES.labels("jobs").set(folder_bytes(self._jobs))
