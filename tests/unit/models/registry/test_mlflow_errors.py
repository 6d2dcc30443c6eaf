"""What MLflow's errors become, in words that an operator can use."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException

from errors import Unavailable
from models.registry.mlflow_registry import translated


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MlflowException("(raised as a result of Query-invoked autoflush; consider a block)\n"
                         "(sqlite3.OperationalError) database or disk is full\n[SQL: UPDATE]"),
         "MLflow: (sqlite3.OperationalError) database or disk is full"),
        (MlflowException(""), "MLflow: MlflowException"),
        (OSError(28, "No space left on device"), "MLflow: [Errno 28] No space left on device"),
        (MlflowException("cannot reach http://anna:secret@mlflow:5000/"),
         "MLflow: cannot reach http://mlflow:5000/"),
    ],
)  # fmt: skip
def test_an_outage_says_what_the_storage_said(error: Exception, said: str) -> None:
    @translated
    def call() -> None:
        raise error

    with pytest.raises(Unavailable) as caught:
        call()
    assert caught.value.message == said
