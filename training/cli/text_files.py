"""Read TOML and JSON files given to a command."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from errors import TrainingError


def read_document(path: Path) -> Any:
    """Read a JSON file, if its name ends in ``.json``, or a TOML file.

    Raises
    ------
    TrainingError
        Names the file.
    """
    try:
        text = path.read_text("utf-8")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # neither TOML nor JSON, or no text at all
        raise TrainingError(f"{path}: {error}") from None
