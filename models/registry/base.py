"""Registry of bundles: one interface, with MLflow or plain files behind it.

A version is a registered bundle and never changes. Two aliases point at versions: ``champion``
(the service scores with it) and ``challenger`` (trained, not promoted). Aliases are replaced
atomically: a reader sees the old version or the new one.
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
    """Interface of a registry for training, promotion and the service."""

    def register(
        self,
        folder: Path,
        *,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        examples: tuple[Any, Any] | None = None,
    ) -> str:
        """Store a copy of a bundle; return its version.

        Parameters
        ----------
        folder
            The bundle.
        run_id
            MLflow run of the training that made the bundle, if any.
        tags
            Tags of the version.
        examples
            A few readings as input of the pyfunc model, and its output.
        """

    def alias(self, name: str) -> str | None:
        """Return the version of an alias; None if it is not set."""

    def set_alias(self, name: str, version: str) -> None:
        """Point an alias at a version, atomically."""

    def drop_alias(self, name: str) -> None:
        """Remove an alias; no error if it is not set."""

    def tag(self, version: str, key: str, value: str) -> None:
        """Set a tag of a version.

        Parameters
        ----------
        version, key, value
            An earlier value of the key is replaced.
        """

    def fetch(self, version: str, into: Path) -> Path:
        """Return the bundle's folder below ``into``; copy it there unless an intact copy exists."""

    def versions(self) -> list[dict[str, Any]]:
        """List versions, newest first: ``version, created_at, aliases, run_id, digest, tags``."""

    def runs(
        self, limit: int = 20, page: str | None = None, model_name: str | None = None
    ) -> dict[str, Any]:
        """List training runs, newest first: ``{"enabled", "runs", "next_page", "message"?}``.

        Parameters
        ----------
        limit
            Maximum number of runs per page.
        page
            ``next_page`` of the previous answer; None for the first page.
        model_name
            Only runs of this detector.
        """


def open_registry(mlflow_uri: str | None, experiment: str, var_dir: Path) -> Registry:
    """Return the configured registry.

    Parameters
    ----------
    mlflow_uri : str or None
        Tracking URI of MLflow (``sqlite:///...`` or ``http://...``); None: MLflow is off and
        the registry is the folder ``registry`` below ``var_dir``.
    experiment : str
        Name of the MLflow experiment and of the registered model.
    var_dir : Path
        Folder for local data.
    """
    if mlflow_uri is None:
        return FileRegistry(var_dir / "registry")
    # imported late: importing MLflow takes two seconds
    from models.registry.mlflow_registry import MlflowRegistry

    return MlflowRegistry(mlflow_uri, experiment)


class FileRegistry:
    """Versions as folders ``versions/<n>``, aliases as small files replaced atomically.

    Parameters
    ----------
    root : Path
        Created when the first bundle is registered; an absent folder is an empty registry.
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
        """Store a copy of a bundle; return its version. Examples are for MLflow only.

        Parameters
        ----------
        folder, run_id, tags, examples
            Those of :meth:`Registry.register`.
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
            Those of :meth:`Registry.tag`.
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
        """Return an empty list: runs are kept by MLflow only.

        Parameters
        ----------
        limit, page, model_name
            Those of :meth:`Registry.runs`.
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
