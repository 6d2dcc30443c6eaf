"""Limit the files that the service keeps under VAR_DIR: fetched bundles, data of jobs.

The leading worker does this once an hour.
"""

from __future__ import annotations

import asyncio
import logging
import time

from config import Settings
from models.bundles.atomic_files import folder_bytes, prune_folders
from serving import metrics
from serving.background import PeriodicWork
from serving.bundles.champion import Champion
from serving.training_queue import jobs_folder, tidy

log = logging.getLogger("bentoml.serving.housekeeping")

EVERY_S = 3600.0  # what it removes is counted in days


class Housekeeping(PeriodicWork):
    """Delete old bundles and data of training jobs, and measure their folders.

    Parameters
    ----------
    champion : Champion
        Its leader does the work; the folder of the loaded bundle stays.
    settings : Settings
        Number of bundles kept, and retention of the jobs' files.
    """

    failure = "files under VAR_DIR cannot be tidied up"

    def __init__(self, champion: Champion, settings: Settings) -> None:
        super().__init__(EVERY_S)
        self._champion = champion
        self._settings = settings

    async def once(self) -> None:
        """Clean up if this worker leads."""
        if self._champion.leadership.try_acquire():
            await asyncio.to_thread(self.tidy_up, time.time())

    def tidy_up(self, now: float) -> None:
        """Clean up and measure; ``now`` is in seconds since 1970."""
        bundles = self._champion.home
        if bundles.is_dir():
            folder = str(self._champion.read().get("folder"))
            gone = prune_folders(bundles, self._settings.bundles_kept, {folder}, now)
            if gone:
                log.info("bundles removed from %s: %s", bundles, ", ".join(gone))
            metrics.FILES.labels("bundles").set(folder_bytes(bundles))
        jobs = jobs_folder(self._settings)
        if jobs.is_dir():
            tidy(jobs, self._settings.training_job_retention_days)
            metrics.FILES.labels("jobs").set(folder_bytes(jobs))
