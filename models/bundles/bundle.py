"""Save, version and load the model sets of all groups of streams as one bundle.

On disk::

    bundle.json                     format, version, rules, groups and what /status shows of them
    groups/<folder>/model_set.json  preprocessing, calibration, options, drift profile
    groups/<folder>/<detector>.json, <detector>.npz
    twin/                           same layout: the recipe fitted without the newest readings

Nothing is pickled. Folders are created atomically. The version is a digest of the content, unless
the registry assigns another. Model sets are loaded on demand; beyond ``keep``, the least recently
used are dropped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cachetools import LRUCache

from errors import BundleError, UnknownGroup
from models.bundles.atomic_files import draft_folder, folder_digest
from models.bundles.rules import Rule, RuleIndex
from models.bundles.serialization import (
    MODEL_SET,
    describe,
    load_model_set,
    read_json,
    save_model_set,
    write_json,
)
from models.scoring.model_set import ModelSet

FORMAT: Final = 1  # of the folder's files; bundles of another format are rejected
DEFAULT: Final = "default"
#: Subfolder of a bundle's hold-out twin.
TWIN: Final = "twin"
#: Fields that are not part of the learnt content; the version does not depend on them.
_INCIDENTAL: Final = ("trained_at", "figures", "trained_on", "power")


@dataclass
class Bundle:
    """Model sets by group, and the rules that assign streams to groups.

    Parameters
    ----------
    sets : model sets in memory; others are read from ``folder`` on demand.
    rules : in order of precedence; without rules, every grouped stream is in the default group.
    keep : maximum number of model sets in memory, of those that can be read again.
    """

    sets: Mapping[str, ModelSet] = field(default_factory=dict)
    rules: Sequence[Rule] = ()
    version: str = "unsaved"
    created_at: str = ""
    folder: Path | None = None
    keep: int = 256
    index: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._index_of_rules = RuleIndex(self.rules)
        self._lock = threading.Lock()
        self._loaded: LRUCache[str, ModelSet] = LRUCache(self.keep)
        for group, model_set in self.sets.items():
            self.index.setdefault(group, {"models": describe(model_set)})
        self.created_at = self.created_at or datetime.now(UTC).isoformat(timespec="seconds")
        if not self.index:
            where = f"{self.folder}: " if self.folder else ""
            raise BundleError(f"{where}the bundle holds no group, so it can score nothing")
        unknown = {rule.group for rule in self.rules} - set(self.index)
        if unknown:
            raise BundleError(f"rules name groups that are not in the bundle: {sorted(unknown)}")
        self._stamp()

    @property
    def groups(self) -> list[str]:
        """Return the names of the groups, the default one (or the first) first."""
        first = self.default_group
        return [first, *sorted(g for g in self.index if g != first)]

    @property
    def default_group(self) -> str:
        """The group ``/status`` shows as ``models``."""
        return DEFAULT if DEFAULT in self.index else next(iter(self.index))

    def group_for(self, asset_id: str, sensor_id: str | None, feature: str | None) -> str:
        """Return the group of a stream.

        Parameters
        ----------
        asset_id, sensor_id
            Ids of the stream; it may have no sensor id.
        feature
            Name of the feature of a single-feature stream; None for grouped readings.

        Raises
        ------
        UnknownGroup
            No rule matches. The code is ``missing_features`` for a single-feature stream.
        """
        rule = self._index_of_rules.find(asset_id, sensor_id, feature)
        if rule is not None:
            return rule.group
        if feature is not None:
            raise UnknownGroup(
                f"no model group is defined for the single feature {feature!r}",
                code="missing_features",
                field=f"features.{feature}",
            )
        if not self.rules:
            return self.default_group
        sensor = "" if sensor_id is None else f", sensor {sensor_id!r}"
        raise UnknownGroup(
            f"no model group is defined for asset {asset_id!r}{sensor}", field="asset_id"
        )

    def model_set(self, group: str) -> ModelSet:
        """Return a group's model set, read from disk when it is not in memory.

        Raises
        ------
        UnknownGroup, BundleError
        """
        if group in self.sets:
            return self.sets[group]
        if group not in self.index:
            raise UnknownGroup(f"the bundle has no group {group!r}")
        with self._lock:
            if group in self._loaded:
                return self._loaded[group]
            assert self.folder is not None  # noqa: S101
            found = load_model_set(self.folder / "groups" / self.index[group]["folder"])
            found.group, found.version = group, self.version
            self._loaded[group] = found
            return found

    def twin(self) -> Bundle:
        """Return the hold-out twin, fitted without the newest readings, which promotion compares.

        A bundle without a twin returns itself.

        Raises
        ------
        BundleError
            The twin is damaged.
        """
        home = None if self.folder is None else self.folder / TWIN
        return self if home is None or not home.is_dir() else Bundle.load(home, self.version)

    def describe(self) -> dict[str, Any]:
        """Describe version, default group and the groups' models for ``/status``; loads nothing."""
        return {
            "version": self.version,
            "created_at": self.created_at,
            "default_group": self.default_group,
            "rules": [rule.to_dict() for rule in self.rules],
            "groups": {group: self._models(group) for group in self.groups},
        }

    def _models(self, group: str) -> dict[str, Any]:
        return {
            name: {**entry, "version": self.version if entry["is_trained"] else None}
            for name, entry in self.index[group]["models"].items()
        }

    def save(self, folder: Path) -> str:
        """Write the bundle as ``folder``, which must not exist; return the version.

        Raises
        ------
        BundleError
            ``folder`` exists or cannot be written.
        """
        folder = Path(folder)
        if folder.exists():
            raise BundleError(f"{folder} exists already")
        try:
            with draft_folder(folder.parent) as draft:
                index = {}
                for i, group in enumerate(self.groups):
                    name = f"{i:04d}"
                    save_model_set(self.model_set(group), draft / "groups" / name)
                    index[group] = {**self.index[group], "folder": name}
                rules = [rule.to_dict() for rule in self.rules]
                if self.version == "unsaved":
                    self.version = _content_version(rules, draft / "groups", index)
                    self._stamp()
                content = {
                    "format": FORMAT,
                    "version": self.version,
                    "created_at": self.created_at,
                    "rules": rules,
                    "groups": index,
                }
                write_json(draft / "bundle.json", content)
                shutil.move(draft, folder)
        except OSError as error:
            raise BundleError(f"bundle cannot be written to {folder}: {error}") from error
        return self.version

    @classmethod
    def load(cls, folder: Path, version: str | None = None) -> Self:
        """Open a saved bundle; ``version`` overrides the one saved with it.

        Raises
        ------
        BundleError
            The bundle is missing, damaged or of an unknown format.
        """
        folder = Path(folder)
        content = read_json(folder / "bundle.json")
        try:
            if content["format"] != FORMAT:
                raise BundleError(f"{folder}: format {content['format']} is not {FORMAT}")
            return cls(
                rules=[Rule.from_dict(rule) for rule in content["rules"]],
                version=version or content["version"],
                created_at=content["created_at"],
                folder=folder,
                index=content["groups"],
            )
        except (KeyError, TypeError) as error:
            raise BundleError(f"{folder / 'bundle.json'}: {error!r}") from error

    def _stamp(self) -> None:
        for group, model_set in self.sets.items():
            model_set.group, model_set.version = group, self.version


def _content_version(
    rules: list[dict[str, Any]], groups: Path, index: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return twelve hex digits of a SHA-256 over the learnt content.

    The same data, options and seed give the same version.
    """
    parts: list[Any] = [rules]
    for group in sorted(index):
        home = groups / index[group]["folder"]
        about = read_json(home / MODEL_SET)
        for name in _INCIDENTAL:
            about.pop(name, None)
        parts.append([group, about, folder_digest(home, without=MODEL_SET)])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
