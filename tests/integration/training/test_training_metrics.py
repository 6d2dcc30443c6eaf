"""docs/metrics.md names the metrics that a real training logs in MLflow, and all of them."""

from __future__ import annotations

import re
from pathlib import Path

import mlflow

from tests.fixtures.training import TrainedOnce

TABLE = Path(__file__).resolve().parents[3] / "docs/metrics.md"
#: Ends of a name that the table has under labels: what was allowed, an asset's criticality.
ENDS = re.compile(r"(_[0-9.e-]+|\.(critical|high|medium|low))$")


def documented(kind: str) -> set[str]:
    rows = re.findall(rf"^\| (`[^|]*) \| {kind} \|", TABLE.read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_metrics_of_training_are_documented_and_logged(trained_once: TrainedOnce) -> None:
    uri = trained_once.settings.mlflow_uri()
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    run_id = trained_once.outcome.published.run_id
    assert run_id is not None
    parent = client.get_run(run_id)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'"
    )
    assert {ENDS.sub("", name) for name in parent.data.metrics} == documented("run")
    logged = {name for child in children for name in child.data.metrics}
    assert logged == documented("detector")
