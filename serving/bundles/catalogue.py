"""List the registered bundles with their figures, and change the champion."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

from errors import AnomalyError, Conflict, NotFound, Unavailable
from models.registry.base import CHALLENGER, CHAMPION
from serving.bundles.champion import Champion
from serving.bundles.registry_client import RegistryClient

#: Tags of a version that are shown to people.
TAGS: Final = ("source", "groups", "content_version", "verdict", "promoted_at", "rolled_back_at",
               "previous_champion")  # fmt: skip
#: A result of the registry is reused for this time.
FRESH_S: Final = 10.0
MAX_VERSIONS: Final = 200  # listed, the newest


class Catalogue:
    """Query the registry for people, and move its champion for them.

    Parameters
    ----------
    registry : RegistryClient
    champion : Champion
        Asked to check again after a change; bundles are fetched to its home.
    """

    def __init__(self, registry: RegistryClient, champion: Champion) -> None:
        self._registry = registry
        self._champion = champion
        self._known: tuple[float, dict[str, Any]] | None = None
        self._task: asyncio.Task[dict[str, Any]] | None = None

    @property
    def fresh(self) -> bool:
        """Whether what `models` returned last is what the registry has now."""
        return self._known is not None and time.monotonic() - self._known[0] < FRESH_S

    async def models(self, patience_s: float | None = None) -> dict[str, Any]:
        """Return the versions, newest first, and the figures by group of champion and challenger.

        Parameters
        ----------
        patience_s : float, optional
            After this time the previous result is returned; the query continues (see `fresh`).

        Raises
        ------
        Unavailable
            The registry does not answer; ``registry_asked``: not yet.
        """
        if self._known is not None and self.fresh:
            return self._known[1]
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.create_task(self._refresh(), name="ask for models")
        done, _ = await asyncio.wait({task}, timeout=patience_s)
        if done:
            return task.result()
        if self._known is not None:
            return self._known[1]
        raise Unavailable("the registry has not answered yet: retry", code="registry_asked")

    async def promote(self, version: str | None, why: str) -> dict[str, Any]:
        """Make a version (None: the challenger) champion; return it and the previous champion.

        Raises
        ------
        NotFound, Conflict, Unavailable
        """
        found = await self._aliases()
        wanted = version or found.get(CHALLENGER)
        if wanted is None:
            raise NotFound("there is no challenger: name a version", field="version")
        known = (one["version"] for one in await self._registry.ask("versions"))
        if wanted not in found.values() and wanted not in known:
            raise NotFound(f"no version {wanted!r:.80}", field="version")
        if found.get(CHAMPION) == wanted:
            raise Conflict(f"version {wanted} is already the champion", code="champion_already")
        before = await self._registry.ask("promote", version=wanted, why=why)
        return self._moved({"champion": wanted, "previous": before})

    async def roll_back(self, champion: str | None) -> dict[str, Any]:
        """Make the previous champion the champion again.

        Parameters
        ----------
        champion : str or None
            The version to be replaced; None: whichever is champion.

        Raises
        ------
        NotFound, Conflict, Unavailable
        """
        left, back = await self._registry.ask("roll_back", champion=champion)
        return self._moved({"champion": back, "previous": left})

    def _moved(self, done: dict[str, Any]) -> dict[str, Any]:
        self._known = self._task = None
        self._champion.ask_again()
        return done

    async def _aliases(self) -> dict[str, str]:
        found = {name: await self._registry.ask("alias", name=name)
                 for name in (CHAMPION, CHALLENGER)}  # fmt: skip
        return {name: version for name, version in found.items() if version is not None}

    async def _refresh(self) -> dict[str, Any]:
        versions = (await self._registry.ask("versions"))[:MAX_VERSIONS]
        shown: dict[str, Any] = {"versions": [_shown(one) for one in versions]}
        for name in (CHAMPION, CHALLENGER):
            found = next((one for one in versions if name in one["aliases"]), None)
            shown[name] = None if found is None else await self._described(found)
        if asyncio.current_task() is self._task:  # else the champion has moved since it was asked
            self._known = time.monotonic(), shown
        return shown

    async def _described(self, version: dict[str, Any]) -> dict[str, Any]:
        """Describe a bundle by its files, or say why it cannot be fetched."""
        shown = _shown(version)
        try:
            folder = await self._registry.ask(
                "fetch", version=version["version"], into=str(self._champion.home)
            )
            groups = await asyncio.to_thread(read_groups, Path(folder))
        except (AnomalyError, OSError, ValueError, LookupError) as error:
            return {**shown, "groups": {}, "problem": str(error)[:300]}
        measured = json.loads(version["tags"].get("held_out", "{}"))
        for name, group in groups.items():
            group["held_out"] = measured.get(name)
        return {**shown, "groups": groups, "problem": None}


def read_groups(folder: Path) -> dict[str, dict[str, Any]]:
    """Read from a bundle's files what each group was fitted on and what it can detect.

    Returns
    -------
    dict
        By group: ``feature_names``, ``trained_at``, ``readings``, ``start``, ``end``, ``notes``,
        and ``power``: by feature the share of each injected fault that was detected at criticality
        medium, and ``not_watched``.
    """
    index = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["groups"]
    found = {}
    for name, entry in index.items():
        path = folder / "groups" / entry["folder"] / "model_set.json"
        about = json.loads(path.read_text(encoding="utf-8"))
        power = about.get("power") or {}
        trained = about.get("trained_on") or {}
        described: dict[str, Any] = next(iter(entry["models"].values()), {})
        at = power.get("budgets", []).index("medium") if "medium" in power.get("budgets", []) else 0
        found[name] = {
            "feature_names": described.get("feature_names", []),
            "trained_at": about.get("trained_at"),
            "readings": trained.get("readings"),
            "start": trained.get("start"),
            "end": trained.get("end"),
            "notes": (about.get("figures") or {}).get("notes", []),
            "power": {
                feature: {trial: shares[at] for trial, shares in trials.items()}
                for feature, trials in power.get("shares", {}).items()
            },
            "not_watched": power.get("not_watched", []),
        }
    return found


def _shown(version: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": version["version"],
        "created_at": version["created_at"],
        "aliases": version["aliases"],
        "run_id": version["run_id"],
        "tags": {name: version["tags"][name] for name in TAGS if name in version["tags"]},
    }
