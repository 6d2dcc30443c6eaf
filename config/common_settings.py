"""Settings that every program reads: folders and logs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from config.section import Section


class FolderSettings(Section):
    """Folders of what the programs write and read."""

    var_dir: Path = Path("var")
    """folder for everything that the program writes: embedded servers, bundles, caches"""
    data_dir: Path = Path("data")
    """folder of the data sets that POST /train may name"""


class LogSettings(Section):
    """What is logged, and in which form."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """least severe level that is logged"""
    log_json: bool = False
    """write one JSON object per line"""

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value
