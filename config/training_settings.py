"""Settings of training and MLflow."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from config.section import MAX_DAYS, Section


class MlflowSettings(Section):
    """Where runs and registered models are stored."""

    mlflow_tracking_uri: str | None = None
    """address of MLflow; unset: SQLite under VAR_DIR"""
    mlflow_experiment_name: str = "anomaly-detection"
    """name of the experiment and of the registered model"""
    mlflow_enabled: bool = True
    """false: train and serve without MLflow"""

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _says_how_it_is_reached(cls, value: str | None) -> str | None:
        """Refuse host:port, which MLflow takes for a folder or an unknown kind of store."""
        if re.fullmatch(r"[^/\s]+:\d+(/.*)?", value or ""):
            raise ValueError("must be an address like http://host:5000")
        return value

    @model_validator(mode="after")
    def _experiment_names_a_model(self) -> MlflowSettings:
        name = self.mlflow_experiment_name
        if self.mlflow_enabled and not re.fullmatch(r"(?=.*\S)[^/:'\n\x00]{1,250}", name):
            raise ValueError(
                f"MLFLOW_EXPERIMENT_NAME: {name[:250]!r} also names the registered model, so it"
                " must be 1 to 250 characters without / : ' and line breaks"
            )
        return self


class TrainingSettings(Section):
    """What a training reads from the database, and how many bundles are kept."""

    train_stored_days: int = Field(90, ge=0, le=MAX_DAYS)
    """days that --data postgresql reads without --since; 0: all"""
    train_stored_rows: int = Field(2_000_000, ge=1)
    """maximum number of readings that --data postgresql reads, the newest ones"""
    bundles_kept: int = Field(10, ge=2)
    """newest bundles kept under VAR_DIR and in the Bento store"""
