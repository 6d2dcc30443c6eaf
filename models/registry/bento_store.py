"""The Bento store: bundles as BentoML models, so that ``bentoml build`` can pack one.

A stored model is the bundle's own files; its tag carries the registry's version and the
content's digest, so importing a version again finds the copy that is there. What was imported
last is ``:latest``, so whoever imports a challenger imports the champion after it.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import BundleError, NotFound
from models.bundles.atomic_files import folder_digest, prune_folders, write_text_atomically
from models.registry.base import CHAMPION
from models.registry.mlflow_setup import set_up_mlflow

if TYPE_CHECKING:
    from models.registry.base import Registry

#: name of the model in the store; ``service.py`` declares ``<name>:latest``
MODEL_NAME = "anomaly-bundle"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to. ``fresh`` is False when the store already held it."""

    tag: str
    path: Path
    fresh: bool


def import_version(
    registry: Registry,
    version: str,
    cache: Path,
    home: Path | None = None,
    *,
    kept: int | None = None,
) -> Imported:
    """Import a version of the registry (see :func:`import_alias`).

    Parameters
    ----------
    kept : int, optional
        Newest bundles that store and cache keep; older ones go. None: all.
    """
    about = next((v for v in registry.versions() if v["version"] == version), None)
    if about is None:
        raise NotFound(f"no version {version!r} in the registry")
    folder = registry.fetch(version, cache)
    labels = {"registry_version": version, "run_id": about.get("run_id") or "none"}
    imported = import_folder(folder, version, labels, home)
    if kept is not None:
        prune(kept, home)
        champion = registry.alias(CHAMPION)
        needed = {path.name for path in cache.glob(f"{champion}-*")} | {folder.name}
        prune_folders(cache, kept, needed, time.time())
    return imported


def import_alias(registry: Registry, alias: str, cache: Path, home: Path | None = None) -> Imported:
    """Import the version that ``alias`` points at.

    Parameters
    ----------
    registry : Registry
        Where the alias is read and the bundle fetched.
    alias : str
        ``champion`` or ``challenger``.
    cache : Path
        Folder the bundle is fetched into (``VAR_DIR/bundles``).
    home : Path, optional
        Another BentoML home than the one in force (``BENTOML_HOME``, else ``~/bentoml``).

    Raises
    ------
    NotFound
        If the alias points at nothing.
    """
    version = registry.alias(alias)
    if version is None:
        raise NotFound(f"the alias {alias!r} points at no version: train a bundle first")
    return import_version(registry, version, cache, home)


def import_folder(
    folder: Path, version: str, labels: dict[str, str], home: Path | None = None
) -> Imported:
    """Copy a bundle's folder into the store as ``<MODEL_NAME>:v<version>-<digest>``.

    Makes that ``:latest``, which is what a Bento packs.

    Parameters
    ----------
    folder
        The bundle.
    version
        The registry's.
    labels
        Notes on the model in the store.
    home
        The store; BentoML's own when left out.
    """
    set_up_mlflow()
    import bentoml  # late: a second and a half that only an import into the store needs
    from bentoml.exceptions import BentoMLException
    from bentoml.exceptions import NotFound as TagNotFound

    tag = f"{MODEL_NAME}:v{version}-{folder_digest(folder)[:12]}"
    options = _options(home)
    try:
        return _latest(bentoml.models.get(tag, **options), fresh=False)
    except TagNotFound:
        pass
    try:
        with bentoml.models.create(
            tag, labels=labels, metadata={"digest": folder_digest(folder)}, **options
        ) as model:
            shutil.copytree(folder, model.path, dirs_exist_ok=True)
    except BentoMLException as error:
        try:  # another process imported the same version in between
            found = bentoml.models.get(tag, **options)
        except TagNotFound:
            raise BundleError(f"the Bento store refused the bundle: {error}") from error
        return _latest(found, fresh=False)
    return _latest(bentoml.models.get(tag, **options), fresh=True)


def _latest(model: Any, fresh: bool) -> Imported:
    """Point ``:latest`` at a model of the store.

    BentoML's own mark goes by the time of creation, which is no help with a model that becomes
    champion later, or again.
    """
    path = Path(model.path)
    write_text_atomically(path.parent / "latest", str(model.tag.version))
    return Imported(str(model.tag), path, fresh)


def stored(home: Path | None = None) -> list[dict[str, Any]]:
    """Return the bundles in the store, newest first: ``tag, path, labels, created_at``."""
    set_up_mlflow()
    import bentoml

    try:
        found = bentoml.models.list(MODEL_NAME, **_options(home))
    except bentoml.exceptions.NotFound:
        return []
    found = sorted(found, key=lambda model: model.creation_time, reverse=True)
    return [
        {
            "tag": str(model.tag),
            "path": Path(model.path),
            "labels": dict(model.info.labels),
            "created_at": model.creation_time.isoformat(),
        }
        for model in found
    ]


def prune(kept: int, home: Path | None = None) -> list[str]:
    """Delete all but the newest bundles from the store; the tags that went.

    ``:latest`` stays, and what a Bento was built with: it is served from the store.
    """
    set_up_mlflow()
    import bentoml

    needed = {str(model.tag) for bento in bentoml.bentos.list() for model in bento.info.all_models}
    options = _options(home)
    try:
        needed.add(str(bentoml.models.get(f"{MODEL_NAME}:latest", **options).tag))
    except bentoml.exceptions.NotFound:
        return []
    gone = [one["tag"] for one in stored(home)[kept:] if one["tag"] not in needed]
    for tag in gone:
        bentoml.models.delete(tag, **options)
    return gone


def _options(home: Path | None) -> dict[str, Any]:
    if home is None:
        return {}
    from bentoml._internal.models.model import ModelStore

    place = home / "models"
    place.mkdir(parents=True, exist_ok=True)
    return {"_model_store": ModelStore(str(place))}
