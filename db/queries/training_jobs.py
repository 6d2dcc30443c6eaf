"""Queue training jobs in the database; one job at a time runs over all replicas.

queued -> running -> succeeded | failed
                  `-> interrupted   (its process died: the heartbeat is stale)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, text

from db.encoding import dump_json
from db.queries.rows import as_bytes
from db.session import try_lock
from db.tables import TrainingJob

JobState = Literal["queued", "running", "succeeded", "failed", "interrupted"]

#: Held while a job is chosen, so that two replicas never start two jobs.
JOB_LOCK = 0x616E6F6D_0002
#: Seconds without a heartbeat after which a job's process counts as dead.
STALE_S = 60.0


#: A row of training_jobs; ``ahead``: number of jobs queued or running before it.
Job = Row[Any]
_NAMES = TrainingJob.__table__.columns.keys()  # type: ignore[attr-defined]
_COLUMNS = ", ".join(f"j.{name}" for name in _NAMES)
_ENQUEUE = text("""
    INSERT INTO training_jobs (id, state, request)
    VALUES (:id, 'queued', CAST(:request AS jsonb))
""")
_KEEP = text("INSERT INTO training_data (job_id, content) VALUES (:id, :content)")
_DATA = text("SELECT content FROM training_data WHERE job_id = :id")
_QUEUED = text("SELECT count(*) FROM training_jobs WHERE state = 'queued'")
_INTERRUPT = text("""
    UPDATE training_jobs
    SET state = 'interrupted', finished_at = now(), error = jsonb_build_object(
        'code', 'interrupted', 'message', 'the process that ran this job is gone', 'field', NULL)
    WHERE state = 'running' AND heartbeat_at < now() - make_interval(secs => :stale)
""")
_CLAIM = text(f"""
    UPDATE training_jobs j
    SET state = 'running', owner = :owner, started_at = now(), heartbeat_at = now()
    WHERE j.id = (
        SELECT id FROM training_jobs WHERE state = 'queued'
          AND NOT EXISTS (SELECT 1 FROM training_jobs WHERE state = 'running')
          AND (CAST(:datasets AS text[]) IS NULL OR request ->> 'dataset' IS NULL
               OR request ->> 'dataset' = ANY(CAST(:datasets AS text[])))
        ORDER BY created_at, id LIMIT 1
    )
    RETURNING {_COLUMNS}
""")  # noqa: S608 (constants)
_HEARTBEAT = text("""
    UPDATE training_jobs
    SET heartbeat_at = now(), progress = COALESCE(CAST(:progress AS jsonb), progress)
    WHERE id = :id AND state = 'running' AND owner = :owner
""")
_FINISH = text("""
    UPDATE training_jobs
    SET state = :state, finished_at = now(), result = CAST(:result AS jsonb),
        error = CAST(:error AS jsonb)
    WHERE id = :id AND owner = :owner
      AND (state = 'running' OR state = 'interrupted' AND :state = 'succeeded')
""")
_FORGET = text("DELETE FROM training_data WHERE job_id = :id")
_AHEAD = """
    (SELECT count(*) FROM training_jobs b WHERE j.state = 'queued' AND (b.state = 'running'
        OR b.state = 'queued' AND (b.created_at, b.id) < (j.created_at, j.id))) AS ahead
"""
_GET = text(f"SELECT {_COLUMNS}, {_AHEAD} FROM training_jobs j WHERE j.id = :id")  # noqa: S608
_LIST = text(f"""
    SELECT {_COLUMNS}, {_AHEAD} FROM training_jobs j ORDER BY j.created_at DESC, j.id LIMIT :limit
""")  # noqa: S608 (constants)


def enqueue_job(connection: Connection, request: dict[str, Any], data: bytes | None = None) -> UUID:
    """Queue a training run; return its id.

    Parameters
    ----------
    request : dict
        Small: options, and the name of a data set.
    data : bytes, optional
        The readings of the request, for the replica that will run the job.
    """
    job_id = uuid4()
    connection.execute(_ENQUEUE, {"id": job_id, "request": dump_json(request)})
    if data is not None:
        connection.execute(_KEEP, {"id": job_id, "content": data})
    return job_id


def queued_jobs(connection: Connection) -> int:
    """Count the waiting jobs."""
    return int(connection.execute(_QUEUED).scalar_one())


def job_data(connection: Connection, job_id: UUID) -> bytes | None:
    """Return the readings of a job; None if it has none or has ended."""
    found = connection.execute(_DATA, {"id": job_id}).scalar_one_or_none()
    return as_bytes(found)


def claim_job(
    connection: Connection,
    owner: str,
    *,
    datasets: Collection[str] | None = None,
    stale_after_s: float = STALE_S,
) -> Job | None:
    """Start the oldest queued job for ``owner``, unless a job is running anywhere.

    A running job without a heartbeat for ``stale_after_s`` is marked interrupted first.

    Parameters
    ----------
    datasets : collection of str, optional
        Data sets that ``owner`` can read; a job with another one is left to other replicas. None:
        all.
    """
    if not try_lock(connection, JOB_LOCK):
        return None
    connection.execute(_INTERRUPT, {"stale": stale_after_s})
    values = {"owner": owner, "datasets": None if datasets is None else list(datasets)}
    return connection.execute(_CLAIM, values).one_or_none()


def heartbeat_job(
    connection: Connection, job_id: UUID, owner: str, progress: dict[str, Any] | None = None
) -> bool:
    """Record a heartbeat and the progress; return False if ``owner`` has lost the job: stop.

    Parameters
    ----------
    connection : Connection
    job_id : UUID
    owner : str
        Who runs the job.
    progress : dict, optional
        For people; None: unchanged.
    """
    values = {"id": job_id, "owner": owner, "progress": _json(progress)}
    return connection.execute(_HEARTBEAT, values).rowcount == 1


def finish_job(
    connection: Connection,
    job_id: UUID,
    owner: str,
    *,
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> bool:
    """End the job, as failed if there is an ``error``; return False if ``owner`` has lost it.

    A success also counts for a job that was considered dead: its process lived, and has promoted.

    Parameters
    ----------
    connection : Connection
    job_id : UUID
    owner : str
        Who ran the job.
    result : dict, optional
        By detector, as in the response of ``POST /train``.
    error : dict, optional
        ``code``, ``message`` and ``field``.
    """
    values = {
        "id": job_id,
        "owner": owner,
        "state": "succeeded" if error is None else "failed",
        "result": _json(result),
        "error": _json(error),
    }
    ended = connection.execute(_FINISH, values).rowcount == 1
    if ended:
        connection.execute(_FORGET, {"id": job_id})
    return ended


def get_job(connection: Connection, job_id: UUID) -> Job | None:
    """Return one job; None if it does not exist."""
    return connection.execute(_GET, {"id": job_id}).one_or_none()


def list_jobs(connection: Connection, limit: int = 100) -> Sequence[Job]:
    """Return the newest jobs, newest first."""
    return connection.execute(_LIST, {"limit": limit}).all()


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else dump_json(value)
