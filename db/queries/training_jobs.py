"""Training jobs: a queue in the database, one job at a time over all replicas.

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

#: Held while one job is chosen, so that two replicas never start two.
JOB_LOCK = 0x616E6F6D_0002
#: Seconds without a heartbeat after which a job's process is taken for dead.
STALE_S = 60.0


#: A training run as the table has it; ``ahead``: jobs queued or running before it.
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
    """Queue a training run; its id.

    Parameters
    ----------
    request : dict
        Small: options, and the name of a data set.
    data : bytes, optional
        The readings that came with the request, for whichever replica will run the job.
    """
    job_id = uuid4()
    connection.execute(_ENQUEUE, {"id": job_id, "request": dump_json(request)})
    if data is not None:
        connection.execute(_KEEP, {"id": job_id, "content": data})
    return job_id


def queued_jobs(connection: Connection) -> int:
    """Count the jobs that wait for their turn."""
    return int(connection.execute(_QUEUED).scalar_one())


def job_data(connection: Connection, job_id: UUID) -> bytes | None:
    """Return the readings that came with a job; None when there are none, or no more."""
    found = connection.execute(_DATA, {"id": job_id}).scalar_one_or_none()
    return as_bytes(found)


def claim_job(
    connection: Connection,
    owner: str,
    *,
    datasets: Collection[str] | None = None,
    stale_after_s: float = STALE_S,
) -> Job | None:
    """Start the oldest queued job, unless one runs anywhere; it is ``owner``'s from now on.

    A running job without a heartbeat for ``stale_after_s`` is marked interrupted first.

    Parameters
    ----------
    datasets : collection of str, optional
        Data sets that ``owner`` can read: a job that names another one is left to a replica that
        can. None: all.
    """
    if not try_lock(connection, JOB_LOCK):
        return None
    connection.execute(_INTERRUPT, {"stale": stale_after_s})
    values = {"owner": owner, "datasets": None if datasets is None else list(datasets)}
    return connection.execute(_CLAIM, values).one_or_none()


def heartbeat_job(
    connection: Connection, job_id: UUID, owner: str, progress: dict[str, Any] | None = None
) -> bool:
    """Say that the job is alive, and how far; False: it is no longer ours, stop.

    Parameters
    ----------
    connection : Connection
    job_id : UUID
    owner : str
        Who runs it.
    progress : dict, optional
        For people; None: as it was.
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
    """End the job, failed when there is an ``error``; False: it was no longer ours.

    A success counts also for a job that was taken for dead: its process lived, and has promoted.

    Parameters
    ----------
    connection : Connection
    job_id : UUID
    owner : str
        Who ran it.
    result : dict, optional
        By detector, as ``POST /train`` answers it.
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
    """Read one job; None: there is none."""
    return connection.execute(_GET, {"id": job_id}).one_or_none()


def list_jobs(connection: Connection, limit: int = 100) -> Sequence[Job]:
    """Return the newest jobs, newest first."""
    return connection.execute(_LIST, {"limit": limit}).all()


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else dump_json(value)
