"""Find COPYs whose client sends nothing more, and end their sessions.

None of the server's time-outs ends a COPY that waits for its client: while it reads rows it heeds
neither ``statement_timeout`` nor ``idle_in_transaction_session_timeout``. A client that freezes, or
whose host vanishes, would hold its locks until the server's TCP keep-alive, two hours later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_WAITING = text("""
    SELECT a.pid, a.query_start AS started, c.bytes_processed AS received,
        a.application_name AS application, host(a.client_addr) AS host
    FROM pg_stat_progress_copy c JOIN pg_stat_activity a USING (pid)
    WHERE c.datname = current_database() AND c.command = 'COPY FROM' AND c.type = 'PIPE'
      AND a.usename = current_user AND a.wait_event = 'ClientRead'
""")
_END = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = :pid AND query_start = :started
""")


@dataclass(frozen=True, slots=True)
class WaitingCopy:
    """A COPY of this role that waits for its client.

    Parameters
    ----------
    pid : process of the server.
    started : when the COPY began.
    received : bytes so far.
    application, host : who sends; ``host`` None: over a unix socket.
    """

    pid: int
    started: datetime
    received: int
    application: str
    host: str | None


def waiting_copies(connection: Connection) -> set[WaitingCopy]:
    """Return the COPYs that wait for their clients now; most of them for an instant only."""
    return {WaitingCopy(*row) for row in connection.execute(_WAITING)}


def end_copy(connection: Connection, copy: WaitingCopy) -> bool:
    """End the session of a COPY; its transaction is rolled back. False: it has ended already."""
    values = {"pid": copy.pid, "started": copy.started}
    return bool(connection.execute(_END, values).scalar())
