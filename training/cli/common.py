"""Share what every training command needs: policy, registry, consoles, tables, exit codes."""

from __future__ import annotations

import logging
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from config import Settings, load_settings
from datasets import FileFormat
from errors import InputError
from models.registry.base import Registry, open_registry
from models.scoring.policy import ScoringPolicy
from runtime import report_errors

_WIDTH = 120  # of tables that are written to a file


def policy_of(settings: Settings) -> ScoringPolicy:
    """Return the service's scoring policy under these settings."""
    return ScoringPolicy(**settings.policy())


def registry_of(settings: Settings) -> Registry:
    """Open the registry: MLflow, or plain files under VAR_DIR if MLflow is off."""
    uri = settings.mlflow_uri() if settings.mlflow_enabled else None
    return open_registry(uri, settings.mlflow_experiment_name, settings.var_dir)


def consoles() -> tuple[Console, Console]:
    """Return the consoles for results (standard output) and for progress (standard error).

    Markup is off, since names of the plant may look like it: ``Pressure [bar]``.
    """
    made = []
    for file in (sys.stdout, sys.stderr):
        width = None if file.isatty() else _WIDTH
        made.append(Console(file=file, width=width, highlight=False, markup=False, emoji=False))
    return made[0], made[1]


def listed(names: Sequence[str], at_most: int) -> str:
    """Join at most ``at_most`` names, and say how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def check_folders(**files: Path | None) -> None:
    """Reject files, by the option that names each, whose folder does not exist."""
    for option, path in files.items():
        if path is not None and not path.parent.is_dir():
            raise InputError(f"--{option}: the folder {path.parent} does not exist")


def check_file_given(data: str | None, form: FileFormat) -> None:
    """Reject options on a file's format without the ``--data`` that they are about."""
    option = next(iter(form.options().values()), None)
    if data is None and option is not None:
        raise InputError(f"{option} is about the file of --data: give both")


@report_errors
def entry(command: Callable[[Settings, Namespace], int], arguments: Namespace) -> int:
    """Run a command; a failure prints one sentence and gives a nonzero exit code."""
    settings = load_settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("mlflow", "alembic", "matplotlib", "bentoml", "httpx", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="mlflow|torch|pydantic")
    return command(settings, arguments)
