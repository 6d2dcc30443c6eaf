"""Training jobs over several replicas: whose job it is, when it must stop, what its end reports."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import orjson
import pytest
from sqlalchemy import Engine, text

from config import Settings
from db.migrate import migrate
from db.queries.training_jobs import (
    claim_job,
    enqueue_job,
    finish_job,
    get_job,
    heartbeat_job,
    job_data,
)
from db.session import make_engine, transaction
from errors import Busy
from models.registry.base import CHAMPION
from serving.database import Database
from serving.requests.training_request import parse_training
from serving.training_queue import TrainingQueue
from tests.fixtures.own_postgres import OwnPostgres
from tests.fixtures.settings import given
from tests.fixtures.training import small_plant
from tests.fixtures.waiting import DEADLINE
from training import rest_job
from training.cli.common import registry_of
from training.fit import parser

OWNER = "test:1"
R = TypeVar("R")


@pytest.fixture
def settings(tmp_path: Path, database_url: str, bento_home: Path) -> Settings:
    return Settings(
        _env_file=None, var_dir=tmp_path / "var", data_dir=tmp_path / "data",
        mlflow_enabled=False, database_url=database_url,
    )  # fmt: skip


def matrix(readings: int = 200) -> dict[str, Any]:
    data = small_plant(readings=readings)
    values = data.streams[0].values.tolist()
    return {"data": values, "feature_names": data.feature_names,
            "model_names": ["isolation_forest"]}  # fmt: skip


def packed(readings: int = 200) -> tuple[dict[str, Any], bytes]:
    from serving.training_queue import packed as pack

    training = parse_training(orjson.dumps(matrix(readings)))
    content = pack(training)
    assert content is not None
    return dict(training.options), content


def claimed(engine: Engine, request: dict[str, Any], data: bytes | None = None) -> UUID:
    with transaction(engine) as connection:
        enqueue_job(connection, request, data)
        started = claim_job(connection, OWNER)
    assert started is not None
    return started.id


def take_away(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE training_jobs SET state = 'interrupted'"))


# -- whose job it is --------------------------------------------------------------------------


def _yes() -> bool:
    return True


def run_service(
    engine: Engine,
    tmp_path: Path,
    use: Callable[[TrainingQueue, TrainingQueue], Awaitable[R]],
    **bounds: Any,
) -> R:
    """A replica that takes requests, and another one, on another host, that leads."""

    async def scene() -> R:
        databases = [Database(lambda: engine) for _ in range(2)]
        front, leader = (
            TrainingQueue(
                database,
                leads,
                given(var_dir=tmp_path / f"var{n}", data_dir=tmp_path / f"data{n}", **bounds),
            )
            for n, (database, leads) in enumerate(zip(databases, (bool, _yes), strict=True))
        )
        for database in databases:
            await database.start()
            await asyncio.wait_for(database.opened.wait(), DEADLINE)
        await leader.start()
        try:
            return await use(front, leader)
        finally:
            await leader.stop()
            for database in databases:
                await database.stop()

    return asyncio.run(scene())


@pytest.fixture
def process_settings(
    settings: Settings, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the training process finds in its environment: the other replica's folder."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var1"))
    monkeypatch.setenv("MLFLOW_ENABLED", "false")


def test_the_data_of_a_request_reach_whichever_replica_trains(
    engine: Engine, tmp_path: Path, process_settings: None
) -> None:
    async def use(front: TrainingQueue, leader: TrainingQueue) -> tuple[int, dict[str, Any]]:
        return await front.train(parse_training(orjson.dumps(matrix())), wait=True)

    status, answer = run_service(engine, tmp_path, use, train_wait_s=240)  # it runs at low priority
    assert status == 200
    assert answer["isolation_forest"]["status"] == "success", answer
    assert not (tmp_path / "var0").exists()
    assert len(list((tmp_path / "var1" / "jobs").glob("*.npz"))) == 1  # for training.promote
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM training_data")).scalar_one() == 0


def test_a_training_that_takes_too_long_is_ended_and_says_so(
    engine: Engine, tmp_path: Path, process_settings: None
) -> None:
    async def use(front: TrainingQueue, leader: TrainingQueue) -> tuple[int, dict[str, Any]]:
        return await front.train(parse_training(orjson.dumps(matrix())), wait=True)

    status, answer = run_service(engine, tmp_path, use, train_wait_s=60, train_max_s=0.3)
    assert status == 200
    assert "longer than 0.3 s (TRAIN_MAX_S)" in answer["isolation_forest"]["message"]
    assert not (tmp_path / "var1" / "registry" / "aliases" / "champion").exists()


def test_a_job_whose_process_cannot_be_started_says_why_at_once(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "var1").mkdir()
    (tmp_path / "var1" / "jobs").touch()  # like a full or read-only disk: no file can be made

    async def use(front: TrainingQueue, leader: TrainingQueue) -> tuple[int, dict[str, Any]]:
        return await front.train(parse_training(orjson.dumps(matrix(20))), wait=True)

    status, answer = run_service(engine, tmp_path, use, train_wait_s=20)
    assert status == 200
    assert "could not be started: [Errno 17]" in answer["isolation_forest"]["message"]


def test_a_full_queue_is_busy(engine: Engine, tmp_path: Path) -> None:
    async def use(front: TrainingQueue, leader: TrainingQueue) -> None:
        await leader.stop()
        for _ in range(2):
            status, _answer = await front.train(
                parse_training(orjson.dumps(matrix(20))), wait=False
            )
            assert status == 202
        with pytest.raises(Busy, match="TRAIN_QUEUE_MAX"):
            await front.train(parse_training(orjson.dumps(matrix(20))), wait=False)

    run_service(engine, tmp_path, use, train_queue_max=2)


def test_a_data_set_is_trained_on_where_it_lies(engine: Engine) -> None:
    with transaction(engine) as connection:
        far = enqueue_job(connection, {"dataset": "far.csv"})
        near = enqueue_job(connection, {"dataset": "near.csv"})
        assert claim_job(connection, "without", datasets=[]) is None
        first = claim_job(connection, "here", datasets=["near.csv", "other.csv"])
        assert first is not None
        assert first.id == near
        assert finish_job(connection, near, "here", result={})
        last = claim_job(connection, "there", datasets=["far.csv"])
        assert last is not None
        assert last.id == far
        assert finish_job(connection, far, "there", result={})
        carried = enqueue_job(connection, {}, b"matrix")
        anywhere = claim_job(connection, "without", datasets=[])
        assert anywhere is not None
        assert anywhere.id == carried
        assert job_data(connection, carried) == b"matrix"


# -- when it must stop ------------------------------------------------------------------------


def test_a_job_that_is_no_longer_ours_promotes_nothing(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for dead just before its alias would have moved."""
    confirm = rest_job.JobHeartbeat.confirm

    def taken_away(self: rest_job.JobHeartbeat) -> None:
        take_away(engine)
        confirm(self)

    monkeypatch.setattr(rest_job.JobHeartbeat, "confirm", taken_away)
    options, data = packed()
    assert rest_job.run_job(settings, str(claimed(engine, options, data)), parser()) == 1
    assert registry_of(settings).alias(CHAMPION) is None


def test_a_heartbeat_that_says_stop_ends_the_training(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training waits for something that takes for ever, as for another process."""
    begun = threading.Event()

    def train(*_: object) -> None:
        begun.set()
        threading.Event().wait(60)

    monkeypatch.setattr(rest_job, "BEAT_S", 0.1)
    monkeypatch.setattr(rest_job, "train", train)
    options, data = packed()
    job_id = claimed(engine, options, data)

    def take() -> None:
        begun.wait(30)
        take_away(engine)

    taker = threading.Thread(target=take)
    taker.start()
    started = time.monotonic()
    assert rest_job.run_job(settings, str(job_id), parser()) == 1
    taker.join()
    assert time.monotonic() - started < 30
    with transaction(engine) as connection:
        ended = get_job(connection, job_id)
    assert ended is not None
    assert ended.state == "interrupted"


# -- how its end is reported ------------------------------------------------------------------


def test_a_success_counts_though_the_job_was_taken_for_dead(engine: Engine) -> None:
    first, second = claimed(engine, {}), None
    take_away(engine)
    second = claimed(engine, {})
    with transaction(engine) as connection:
        assert not heartbeat_job(connection, first, OWNER)
        assert not finish_job(connection, first, OWNER, error={"code": "late"})
        assert not finish_job(connection, first, "another", result={})
        assert finish_job(connection, first, OWNER, result={"ok": 1})
        ended, running = get_job(connection, first), get_job(connection, second)
    assert ended is not None
    assert running is not None
    assert (ended.state, ended.result, running.state) == ("succeeded", {"ok": 1}, "running")


def test_the_end_of_a_job_outlasts_a_database_that_is_away(own_postgres: OwnPostgres) -> None:
    engine = make_engine(own_postgres.url.replace("postgresql://", "postgresql+psycopg2://", 1))
    migrate(engine)
    job_id = claimed(engine, {}, b"matrix")
    with transaction(engine) as connection:
        started = get_job(connection, job_id)
    assert started is not None
    own_postgres.stop()
    back = threading.Timer(1.0, own_postgres.start)
    back.start()
    rest_job.JobHeartbeat(engine, started).finish(result={"ok": 1})
    back.join()
    with transaction(engine) as connection:
        ended = get_job(connection, job_id)
        assert job_data(connection, job_id) is None
    engine.dispose()
    assert ended is not None
    assert ended.state == "succeeded"


def test_a_bento_store_that_fails_is_no_failed_training_with_a_changed_champion(
    engine: Engine, settings: Settings, bento_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (bento_home / "models" / "anomaly-bundle").write_text("in the way of its folder")
    options, data = packed()
    job_id = claimed(engine, options, data)
    assert rest_job.run_job(settings, str(job_id), parser()) == 0
    assert registry_of(settings).alias(CHAMPION) == "1"
    with transaction(engine) as connection:
        ended = get_job(connection, job_id)
    assert ended is not None
    assert ended.state == "succeeded"
    assert "could not be imported into the Bento store" in caplog.text


def test_a_matrix_survives_the_journey() -> None:
    import io

    options, content = packed(30)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert archive["names"].tolist() == options["feature_names"]
        assert archive["values"].shape == (30, len(options["feature_names"]))
