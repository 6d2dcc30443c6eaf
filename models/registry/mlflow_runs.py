"""Read training runs from MLflow, for ``GET /metrics``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

KIND_TAG = "anomaly.kind"
MODEL_TAG = "anomaly.model"
GROUP_TAG = "anomaly.group"
#: Kinds of runs: one that trained a whole bundle, and its child runs, one per detector.
BUNDLE_KIND = "bundle"
DETECTOR_KIND = "detector"


def training_runs(
    client: Any, experiment: str, limit: int, page: str | None, model_name: str | None
) -> dict[str, Any]:
    """List the runs of ``experiment``, newest first.

    Parameters
    ----------
    client : mlflow.MlflowClient
        Client of the tracking store.
    experiment : str
        Name of the experiment; it need not exist.
    limit : int
        Maximum number of runs in the answer.
    page : str, optional
        ``next_page`` of the previous answer.
    model_name : str, optional
        Name of a detector: list only its runs.
    """
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return {"enabled": True, "runs": [], "next_page": None}
    query = f"tags.`{KIND_TAG}` != 'none'"
    if model_name is not None:
        query = f"tags.`{MODEL_TAG}` = '{model_name.replace(chr(39), '')}'"
    runs = client.search_runs(
        [found.experiment_id],
        filter_string=query,
        max_results=limit,
        order_by=["attributes.start_time DESC", "attributes.run_id ASC"],
        page_token=page,
    )
    token = runs.token  # bytes from MLflow's SQL stores, text from its server
    return {
        "enabled": True,
        "runs": [_shown(run) for run in runs],
        "next_page": (token.decode() if isinstance(token, bytes) else token) or None,
    }


def _shown(run: Any) -> dict[str, Any]:
    tags = run.data.tags
    return {
        "run_id": run.info.run_id,
        "parent_run_id": tags.get("mlflow.parentRunId"),
        "kind": tags.get(KIND_TAG),
        "model_name": tags.get(MODEL_TAG),
        "group": tags.get(GROUP_TAG),
        "bundle_version": tags.get("anomaly.bundle_version"),
        "status": run.info.status,
        "started_at": _iso(run.info.start_time),
        "ended_at": _iso(run.info.end_time),
        "params": dict(run.data.params),
        "metrics": dict(run.data.metrics),
    }


def _iso(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
