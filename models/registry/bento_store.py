"""Import bundles into the Bento store as BentoML models, so that ``bentoml build`` can pack one.

A stored model consists of the bundle's files. Its tag contains the registry's version and the
content's digest, so importing a version again finds the existing copy. ``:latest`` is the last
import; after importing a challenger, import the champion again.
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

#: Name of the model in the store; ``service.py`` declares ``<name>:latest``.
MODEL_NAME = "anomaly-bundle"


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import; ``fresh`` is False if the store already had the bundle."""

    tag: str
    path: Path
    fresh: bool


def import_version(
    registry: Registry, version: str, cache: Path, *, kept: int | None = None
) -> Imported:
    """Import a version of the registry (see :func:`import_alias`).

    Parameters
    ----------
    kept : int, optional
        Bundles to keep in store and cache, at most; older ones are deleted. None: keep all.
    """
    about = next((v for v in registry.versions() if v["version"] == version), None)
    if about is None:
        raise NotFound(f"no version {version!r} in the registry")
    folder = registry.fetch(version, cache)
    labels = {"registry_version": version, "run_id": about.get("run_id") or "none"}
    imported = import_folder(folder, version, labels)
    if kept is not None:
        prune(kept)
        champion = registry.alias(CHAMPION)
        needed = {path.name for path in cache.glob(f"{champion}-*")} | {folder.name}
        prune_folders(cache, kept, needed, time.time())
    return imported


def import_alias(registry: Registry, alias: str, cache: Path) -> Imported:
    """Import the version that ``alias`` points at.

    Parameters
    ----------
    registry : Registry
        Gives the alias and the bundle.
    alias : str
        ``champion`` or ``challenger``.
    cache : Path
        Folder for fetched bundles (``VAR_DIR/bundles``).

    Raises
    ------
    NotFound
        The alias is not set.
    """
    version = registry.alias(alias)
    if version is None:
        raise NotFound(f"the alias {alias!r} points at no version: train a bundle first")
    return import_version(registry, version, cache)


def import_folder(folder: Path, version: str, labels: dict[str, str]) -> Imported:
    """Copy a bundle's folder into the store as ``<MODEL_NAME>:v<version>-<digest>``.

    The copy becomes ``:latest``, which a Bento packs. The store is BentoML's
    (``BENTOML_HOME``, else ``~/bentoml``).

    Parameters
    ----------
    folder
        The bundle.
    version
        The registry's version.
    labels
        Labels of the model in the store.
    """
    set_up_mlflow()
    import bentoml  # imported late: it takes a second and a half
    from bentoml.exceptions import BentoMLException
    from bentoml.exceptions import NotFound as TagNotFound

    digest = folder_digest(folder)
    tag = f"{MODEL_NAME}:v{version}-{digest[:12]}"
    try:
        return _latest(bentoml.models.get(tag), fresh=False)
    except TagNotFound:
        pass
    try:
        with bentoml.models.create(tag, labels=labels, metadata={"digest": digest}) as model:
            shutil.copytree(folder, model.path, dirs_exist_ok=True)
    except BentoMLException as error:
        try:  # another process imported the same version in between
            found = bentoml.models.get(tag)
        except TagNotFound:
            raise BundleError(f"the Bento store refused the bundle: {error}") from error
        return _latest(found, fresh=False)
    return _latest(bentoml.models.get(tag), fresh=True)


def _latest(model: Any, fresh: bool) -> Imported:
    """Point ``:latest`` at a model of the store.

    BentoML itself points it at the newest model, but an older one may become champion (again).
    """
    path = Path(model.path)
    write_text_atomically(path.parent / "latest", str(model.tag.version))
    return Imported(str(model.tag), path, fresh)


def stored() -> list[Any]:
    """Return the store's bundle models, newest first."""
    set_up_mlflow()
    import bentoml

    try:
        found = bentoml.models.list(MODEL_NAME)
    except bentoml.exceptions.NotFound:
        return []
    return sorted(found, key=lambda model: model.creation_time, reverse=True)


def prune(kept: int) -> list[str]:
    """Delete all but the newest bundles from the store; return the deleted tags.

    ``:latest`` and the models of built Bentos are kept: Bentos are served from the store.
    """
    set_up_mlflow()
    import bentoml

    needed = {str(model.tag) for bento in bentoml.bentos.list() for model in bento.info.all_models}
    try:
        needed.add(str(bentoml.models.get(f"{MODEL_NAME}:latest").tag))
    except bentoml.exceptions.NotFound:
        return []
    gone = [tag for one in stored()[kept:] if (tag := str(one.tag)) not in needed]
    for tag in gone:
        bentoml.models.delete(tag)
    return gone
