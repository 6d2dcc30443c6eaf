"""Keep a bundle whose registration failed, and register it later."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd

from errors import AnomalyError, TrainingError
from models.bundles.atomic_files import commit_dir, draft_folder
from models.bundles.bundle import Bundle
from models.registry.base import CHALLENGER, CHAMPION, Registry
from models.registry.mlflow_setup import first_sentence
from models.registry.promotion import challenge, promote
from models.registry.pyfunc import BundleModel
from models.scoring.policy import ScoringPolicy

log = logging.getLogger(__name__)

_ABOUT = "registration.json"
#: How names of folders among the temporary files begin.
_PREFIX = "bundle-"
#: MLflow and its storage libraries: their errors are outages, so no traceback is logged.
_STORES = ("mlflow", "botocore", "boto3", "google", "azure", "sqlalchemy", "requests", "urllib3")


def describe_failure(error: Exception) -> str:
    """Describe a failure in one sentence; log the traceback of an unexpected one."""
    outside = type(error).__module__.split(".")[0] in _STORES
    if not (outside or isinstance(error, AnomalyError | OSError | ImportError)):
        log.error("registering failed", exc_info=error)
    return sentence_of(error)


def sentence_of(error: Exception) -> str:
    """Return what an error says, in one sentence."""
    if isinstance(error, AnomalyError):
        return error.message
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # a list of all files that were not copied, and why
        error = OSError(str(error.args[0][0][-1]))
    return first_sentence(error)


def keep_somewhere(
    folder: Path, name: str, tags: Mapping[str, str], example: pd.DataFrame, var_dir: Path
) -> str:
    """Keep a bundle in ``var_dir``, or else in the folder for temporary files; say where.

    A disk on which nothing can be registered, because it is full or read-only, often is the one
    that ``var_dir`` lies on.

    Parameters
    ----------
    folder, name, tags, example, var_dir
        As of :func:`keep`.
    """
    problem: OSError | None = None
    for place in (var_dir, None):
        where = place
        try:
            # a folder of its own: others may write to the one for all temporary files
            where = where or Path(tempfile.mkdtemp(prefix=_PREFIX))
            home = keep(folder, name, tags, example, where)
        except OSError as error:
            problem = problem or error
            if place is None and where is not None:
                shutil.rmtree(where, ignore_errors=True)
            continue
        again = f"python -m training.promote --register {shlex.quote(str(home))}"
        return f"the bundle is kept: {again}"
    why = "" if problem is None else f": {sentence_of(problem)}"
    return f"the bundle is lost, since it could not be kept either{why}"


def keep(
    folder: Path, name: str, tags: Mapping[str, str], example: pd.DataFrame, var_dir: Path
) -> Path:
    """Copy a bundle below ``var_dir`` for a later registration; return the copy's folder.

    Parameters
    ----------
    folder : Path
        The bundle.
    name : str
        Name of the copy's folder.
    tags, example
        Tags of the version and example readings (n, d), which registration needs.
    var_dir : Path
        Folder for local data.
    """
    home = (var_dir / "unregistered").absolute()
    with draft_folder(home) as draft:
        shutil.copytree(folder, draft / "bundle")
        about = {"tags": dict(tags), "example": example.to_dict(orient="split")}
        (draft / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        commit_dir(draft, home / name)  # an existing folder of this name has the same content
    return home / name


def register_kept(folder: Path, registry: Registry, policy: ScoringPolicy) -> tuple[str, str]:
    """Register a kept bundle and remove the copy; return its version and alias.

    Parameters
    ----------
    folder
        Result of :func:`keep`.
    registry
        Where to register.
    policy
        Policy for scoring the example.

    Raises
    ------
    TrainingError
        The folder holds no kept bundle.
    Unavailable
        MLflow still fails; the copy stays.
    """
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        tags, rows = about["tags"], about["example"]
        example = pd.DataFrame(rows["data"], columns=rows["columns"])
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder} holds no bundle to register: {error}") from None
    bundle = Bundle.load(folder / "bundle")
    examples = (example, BundleModel(bundle, policy).predict(example))
    version = registry.register(folder / "bundle", tags=tags, examples=examples)
    first = registry.alias(CHAMPION) is None
    (promote if first else challenge)(registry, version, "registered after its training")
    shutil.rmtree(folder)
    remove_emptied(folder)
    return version, CHAMPION if first else CHALLENGER


def remove_emptied(folder: Path) -> None:
    """Remove the folders that :func:`keep_somewhere` made among the temporary files."""
    home = folder.absolute().parent.parent
    if home.parent == Path(tempfile.gettempdir()) and home.name.startswith(_PREFIX):
        with suppress(OSError):  # another bundle may be kept there
            folder.absolute().parent.rmdir()
            home.rmdir()
