"""A training job: its row in PostgreSQL is all that service and training share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sqlalchemy import Engine

from config import Settings
from db.queries.training_jobs import claim_job, enqueue_job, get_job
from db.session import transaction
from errors import NotFound
from models.fitting.options import FitOptions
from models.registry.base import CHAMPION
from models.registry.promotion import load_version
from tests.fixtures.training import small_plant
from training import rest_job
from training.cli.common import registry_of
from training.cli.progress import ProgressDisplay
from training.fit import parser
from training.pipeline import train
from training.request import Request

OWNER = "test:1"


@pytest.fixture
def settings(tmp_path: Path, database_url: str, bento_home: Path) -> Settings:
    return Settings(
        _env_file=None,
        var_dir=tmp_path / "var",
        data_dir=tmp_path / "data",
        mlflow_enabled=False,
        database_url=database_url,
    )


def claimed(engine: Engine, request: dict[str, Any]) -> str:
    with transaction(engine) as connection:
        enqueue_job(connection, request)
        started = claim_job(connection, OWNER)
    assert started is not None
    return str(started.id)


def row(engine: Engine, job_id: str) -> Any:
    from uuid import UUID

    with transaction(engine) as connection:
        return get_job(connection, UUID(job_id))


def test_a_matrix_becomes_the_champion_and_the_row_says_so(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    data = small_plant(readings=200)
    path = tmp_path / "matrix.npz"
    np.savez(path, values=data.streams[0].values, names=np.array(data.feature_names))
    request = {
        "data": str(path), "feature_names": data.feature_names,
        "model_names": ["isolation_forest"],
    }  # fmt: skip
    job_id = claimed(engine, request)
    assert rest_job.run_job(settings, job_id, parser()) == 0
    done = row(engine, job_id)
    assert done.state == "succeeded"
    assert set(done.result) == {"isolation_forest"}
    entry = done.result["isolation_forest"]
    assert entry["status"] == "success"
    assert "champion" in entry["message"]
    assert entry["metrics"]["n_eff"] > 0
    version = registry_of(settings).alias(CHAMPION)
    assert version == "1"
    assert entry["model_version"] == version


def test_a_retraining_keeps_the_limits_and_policies_that_the_champion_was_given(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    data = small_plant(readings=200)
    first = data.feature_names[0]
    given = FitOptions(
        models=("isolation_forest",), missing="impute", max_imputed=1, limits={first: (0.0, 99.0)}
    )
    train(Request(data, given), settings, ProgressDisplay(Console(quiet=True)))
    path = tmp_path / "matrix.npz"
    np.savez(path, values=data.streams[0].values, names=np.array(data.feature_names))
    request = {
        "data": str(path), "feature_names": data.feature_names,
        "model_names": ["one_class_svm"], "promote": True,
    }  # fmt: skip
    assert rest_job.run_job(settings, claimed(engine, request), parser()) == 0
    registry = registry_of(settings)
    champion = load_version(registry, "2", settings.var_dir / "bundles").model_set("default")
    assert champion.names == ("one_class_svm",)
    assert champion.preprocessing.max_imputed == 1
    assert champion.preprocessing.limits == {first: (0.0, 99.0)}
    assert FitOptions.from_dict(champion.options).to_dict() == champion.options


def test_data_that_cannot_be_used_fail_the_job_with_a_sentence(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "matrix.npz"
    np.savez(path, values=np.ones((5, 2)), names=np.array(["a", "b"]))
    job_id = claimed(engine, {"data": str(path), "feature_names": ["a", "b"]})
    assert rest_job.run_job(settings, job_id, parser()) == 1
    done = row(engine, job_id)
    assert done.state == "failed"
    assert done.error["code"] == "training_failed"
    assert "5 readings are too few" in done.error["message"]


def test_a_data_set_is_a_file_of_the_data_folder_and_no_path(
    engine: Engine, settings: Settings
) -> None:
    job_id = claimed(engine, {"dataset": "../secret.csv"})
    assert rest_job.run_job(settings, job_id, parser()) == 1
    assert "not the name of a file" in row(engine, job_id).error["message"]


@pytest.mark.parametrize("job_id", ["nonsense", "00000000-0000-0000-0000-000000000000"])
def test_a_job_that_does_not_run_is_refused(settings: Settings, job_id: str) -> None:
    with pytest.raises(NotFound, match="training job"):
        rest_job.run_job(settings, job_id, parser())
