"""Log a bundle to an MLflow run as a model.

The bundle becomes an MLflow *pyfunc* model. Its data are the bundle's files and its code is a copy
of this package, so ``mlflow.pyfunc.load_model`` works where the project is not installed. Nothing
is pickled.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.registry.mlflow_setup import set_up_mlflow

set_up_mlflow()

import mlflow  # noqa: E402

#: Packages that the copied code needs to load a bundle and score; pinned to the current versions.
REQUIREMENTS = ("mlflow", "numpy", "cachetools", "numba", "scipy", "pandas", "pydantic")


def log_model(folder: Path, examples: tuple[Any, Any] | None) -> Any:
    """Log the bundle in ``folder`` to the active run; return MLflow's description of the model.

    Parameters
    ----------
    folder : Path
        Its name becomes the folder's name inside the model.
    examples
        Input and output of :mod:`models.registry.pyfunc` for the model's signature; None: no
        signature.
    """
    here = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as scratch:
        return mlflow.pyfunc.log_model(
            name="bundle",
            loader_module="models.registry.pyfunc",
            data_path=str(folder),
            code_paths=_code(here, Path(scratch)),
            signature=mlflow.models.infer_signature(*examples) if examples else None,
            input_example=examples[0] if examples else None,
            pip_requirements=_requirements(),
        )


def _code(package: Path, scratch: Path) -> list[str]:
    """Copy the code that loads a bundle, without caches, which would change its digest."""
    target = scratch / "models"
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
    return [str(target), str(package.parent / "errors.py"), str(package.parent / "schemas.py")]


def _requirements() -> list[str]:
    pinned = []
    for name in (*REQUIREMENTS, "torch"):
        try:
            pinned.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return pinned
