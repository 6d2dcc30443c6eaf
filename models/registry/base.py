"""Which bundles exist and which one is in force: one interface, MLflow or plain files behind it.

A version is a bundle that was registered once and never changes. Two aliases point at versions:
``champion`` (what the service scores with) and ``challenger`` (trained, not yet promoted).
Whoever reads an alias sees the old version or the new one, never nothing in between.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from errors import BundleError, NotFound
from models.bundles.atomic_files import (
    commit_dir,
    draft_folder,
    fetched,
    folder_digest,
    write_text_atomically,
)

CHAMPION = "champion"
CHALLENGER = "challenger"


class Registry(Protocol):
    """What training, promotion and service need of a registry."""

    def register(
        self,
        folder: Path,
        *,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        examples: tuple[Any, Any] | None = None,
    ) -> str:
        """Keep a copy of a bundle; returns its version.

        Parameters
        ----------
        folder
            The bundle.
        run_id
            Of the training that made it, where runs are kept.
        tags
            Notes on the version.
        examples
            A few readings as the pyfunc model takes them, and its answer.
        """

    def alias(self, name: str) -> str | None:
        """Return the version an alias points at; None when it points at nothing."""

    def set_alias(self, name: str, version: str) -> None:
        """Point an alias at a version, at once for every later reader."""

    def drop_alias(self, name: str) -> None:
        """Make an alias point at nothing; no error when it already does."""

    def tag(self, version: str, key: str, value: str) -> None:
        """Write a note on a version.

        Parameters
        ----------
        key, value
            An earlier note of this key is replaced.
        """

    def fetch(self, version: str, into: Path) -> Path:
        """Return the bundle's folder below ``into``, copied there unless a whole copy is there."""

    def versions(self) -> list[dict[str, Any]]:
        """List the newest first: ``version, created_at, aliases, run_id, digest, tags``."""

    def runs(
        self, limit: int = 20, page: str | None = None, model_name: str | None = None
    ) -> dict[str, Any]:
        """List training runs, newest first: ``{"enabled", "runs", "next_page", "message"?}``.

        Parameters
        ----------
        limit
            Runs in one page.
        page
            ``next_page`` of the answer before; None: the first.
        model_name
            Only runs of this detector.
        """


def open_registry(mlflow_uri: str | None, experiment: str, var_dir: Path) -> Registry:
    """Return the registry in force.

    Parameters
    ----------
    mlflow_uri : str or None
        Tracking URI of MLflow (``sqlite:///...`` or ``http://...``); None: MLflow is off and
        the registry is the folder ``registry`` below ``var_dir``.
    experiment : str
        Name of the MLflow experiment, and of the registered model.
    var_dir : Path
        Where the embedded parts write.
    """
    if mlflow_uri is None:
        return FileRegistry(var_dir / "registry")
    # imported late: MLflow costs two seconds that a service without it need not spend
    from models.registry.mlflow_registry import MlflowRegistry

    return MlflowRegistry(mlflow_uri, experiment)


class FileRegistry:
    """Versions as folders ``versions/<n>``, aliases as small files replaced atomically.

    Parameters
    ----------
    root : Path
        Made when the first bundle is registered; an absent folder is an empty registry.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def register(
        self,
        folder: Path,
        *,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        examples: tuple[Any, Any] | None = None,
    ) -> str:
        """See :class:`Registry`; the examples are MLflow's and are not kept here.

        Parameters
        ----------
        folder, run_id, tags, examples
            As of :meth:`Registry.register`.
        """
        home = self.root / "versions"
        with draft_folder(home) as draft:
            shutil.copytree(folder, draft / "bundle")
            digest = folder_digest(draft / "bundle")
            while True:
                number = 1 + max((int(n) for n in self._numbers()), default=0)
                about = {
                    "version": str(number),
                    "created_at": datetime.now(UTC).isoformat(),
                    "run_id": run_id,
                    "digest": digest,
                    "tags": dict(tags or {}),
                }
                write_text_atomically(draft / "version.json", json.dumps(about, indent=1))
                if commit_dir(draft, home / str(number)):
                    return str(number)

    def alias(self, name: str) -> str | None:
        """Return the version of an alias, or None."""
        try:
            return self._alias_file(name).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def set_alias(self, name: str, version: str) -> None:
        """Point an alias at a version."""
        self._about(version)
        write_text_atomically(self._alias_file(name), version + "\n")

    def drop_alias(self, name: str) -> None:
        """Remove an alias."""
        self._alias_file(name).unlink(missing_ok=True)

    def tag(self, version: str, key: str, value: str) -> None:
        """Store a tag of a version.

        Parameters
        ----------
        version, key, value
            As of :meth:`Registry.tag`.
        """
        about = self._about(version)
        about["tags"][key] = value
        path = self.root / "versions" / version / "version.json"
        write_text_atomically(path, json.dumps(about, indent=1))

    def fetch(self, version: str, into: Path) -> Path:
        """Copy a version below ``into``; return its folder."""
        digest = self._about(version)["digest"]

        def download(draft: Path) -> Path:
            home = self.root / "versions" / version
            return Path(shutil.copytree(home / "bundle", draft / "bundle"))

        damaged = f"version {version} is damaged: its files changed"
        return fetched(into / f"{version}-{digest[:12]}", digest, download, damaged)

    def versions(self) -> list[dict[str, Any]]:
        """List the versions, newest first."""
        aliases = {name: self.alias(name) for name in (CHAMPION, CHALLENGER)}
        found = [self._about(n) for n in sorted(self._numbers(), key=int, reverse=True)]
        for about in found:
            about["aliases"] = [a for a, v in aliases.items() if v == about["version"]]
        return found

    def runs(
        self, limit: int = 20, page: str | None = None, model_name: str | None = None
    ) -> dict[str, Any]:
        """List training runs; files keep none.

        Parameters
        ----------
        limit, page, model_name
            As of :meth:`Registry.runs`.
        """
        return {
            "enabled": False,
            "message": "MLflow is off (MLFLOW_ENABLED=false), so no runs are kept",
            "runs": [],
            "next_page": None,
        }

    def _numbers(self) -> list[str]:
        home = self.root / "versions"
        return [p.name for p in home.iterdir() if p.name.isdigit()] if home.is_dir() else []

    def _about(self, version: str) -> dict[str, Any]:
        path = self.root / "versions" / version / "version.json"
        try:
            about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no version {version!r} in the registry {self.root}") from None
        except ValueError as error:
            raise BundleError(f"{path} cannot be read: {error}") from error
        return about

    def _alias_file(self, name: str) -> Path:
        return self.root / "aliases" / name
