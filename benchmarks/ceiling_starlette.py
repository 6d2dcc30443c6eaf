"""Ceiling of the serving benchmark: bare Starlette with our scoring, no checks, no batching."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from models.bundles.bundle import Bundle
from models.scoring.ensemble import score
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading, StreamWork

POLICY = ScoringPolicy()
MODEL_SET = Bundle.load(Path(os.environ["BUNDLE_DIR"])).model_set("default")


async def detect(request: Request) -> Response:
    """Score one reading with its history."""
    item = orjson.loads(await request.body())
    work = StreamWork(
        item["asset_id"],
        item["sensor_id"],
        None,
        "medium",
        None,
        [Reading(None, features) for features in item.get("history", ())],
        [Reading(datetime.fromisoformat(item["timestamp"]), item["features"])],
    )
    (outcome,) = score(MODEL_SET, [work], POLICY)
    return Response(orjson.dumps(outcome.results[0]), media_type="application/json")


async def readyz(_: Request) -> Response:
    """Answer the benchmark's readiness check."""
    return PlainTextResponse("ok")


app = Starlette(
    routes=[Route("/detect", detect, methods=["POST"]), Route("/readyz", readyz)],
)
