"""Training jobs queue in the database, one at a time."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Engine

from db.queries import training_jobs
from db.session import transaction


def test_one_training_job_at_a_time_over_all_replicas(engine: Engine) -> None:
    with transaction(engine) as connection:
        ids = [training_jobs.enqueue_job(connection, {"n": n}) for n in range(2)]
    with transaction(engine) as one:
        assert training_jobs.get_job(one, uuid4()) is None
        jobs = {job.id: job for job in training_jobs.list_jobs(one)}
        first, second = sorted(ids, key=lambda i: (jobs[i].created_at, i))
        assert (jobs[first].ahead, jobs[second].ahead) == (0, 1)
        claimed = training_jobs.claim_job(one, "a")
        assert claimed is not None
        assert (claimed.id, claimed.state, claimed.owner) == (first, "running", "a")
        with transaction(engine) as two:
            assert training_jobs.claim_job(two, "b") is None
    with transaction(engine) as connection:
        assert training_jobs.claim_job(connection, "b") is None
        assert training_jobs.heartbeat_job(connection, first, "a", {"done": 0.5})
        assert training_jobs.heartbeat_job(connection, first, "a")
        assert not training_jobs.heartbeat_job(connection, first, "b")
        assert training_jobs.finish_job(connection, first, "a", result={"ok": float("inf")})
        assert not training_jobs.finish_job(connection, first, "a", error={})
        done = training_jobs.get_job(connection, first)
        assert done is not None
        assert (done.state, done.progress, done.result) == (
            "succeeded",
            {"done": 0.5},
            {"ok": None},
        )


def test_a_dead_process_leaves_an_interrupted_job(engine: Engine) -> None:
    with transaction(engine) as connection:
        dead = training_jobs.enqueue_job(connection, {})
        training_jobs.claim_job(connection, "gone")
        waiting = training_jobs.enqueue_job(connection, {})
    with transaction(engine) as connection:
        claimed = training_jobs.claim_job(connection, "next", stale_after_s=-1)
        assert claimed is not None
        assert claimed.id == waiting
        job = training_jobs.get_job(connection, dead)
        assert job is not None
        assert job.state == "interrupted"
        assert job.error is not None
        assert not training_jobs.heartbeat_job(connection, dead, "gone")
