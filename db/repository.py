"""Every query of the project, in one place to import from; each lives in the module of its topic.

All take a SQLAlchemy ``Connection`` inside ``db.session.transaction``, and none commits.
"""

from __future__ import annotations

from db.assets import asset_criticalities
from db.bulk import add_outbox, detection_id, insert_dead_letters, insert_detections
from db.dead_letters import DeadLetterFilter, StoredLetter, database_now, dead_letter_page
from db.export import (
    ReadingFilter,
    StoredReading,
    export_readings,
    recent_readings,
    start_of_newest,
)
from db.history import HistoryFilter, Page, get_detection, history
from db.jsonb import decode_headers, encode_headers
from db.offsets import Claim, advance, claim, has_earlier_account, read_claim
from db.outbox import (
    OutboxMessage,
    delete_outbox,
    next_outbox,
    orphaned_sources,
    outbox_size,
    outbox_sources,
)
from db.progress import (
    Counts,
    anomalies_between,
    count_rows,
    dead_letter_reasons,
    recent_alarms,
    stored_offsets,
    table_sizes,
)
from db.rows import detection_row
from db.states import (
    StoredState,
    StreamKey,
    load_states,
    newest_state_elsewhere,
    newest_states,
    save_states,
    spread_streams,
    stream_key,
)
from db.training_jobs import (
    Job,
    claim_job,
    enqueue_job,
    finish_job,
    get_job,
    heartbeat_job,
    interrupt_stale_jobs,
    job_data,
    list_jobs,
    queued_jobs,
)
from db.windows import (
    Reading,
    event_criticalities,
    find_duplicates,
    stored_windows,
)

#: REST's rows go the same way: an ``id`` of their own (a random UUID) and no source.
insert_journal = insert_detections

__all__ = [
    "Claim",
    "Counts",
    "DeadLetterFilter",
    "HistoryFilter",
    "Job",
    "OutboxMessage",
    "Page",
    "Reading",
    "ReadingFilter",
    "StoredLetter",
    "StoredReading",
    "StoredState",
    "StreamKey",
    "add_outbox",
    "advance",
    "anomalies_between",
    "asset_criticalities",
    "claim",
    "claim_job",
    "count_rows",
    "database_now",
    "dead_letter_page",
    "dead_letter_reasons",
    "decode_headers",
    "delete_outbox",
    "detection_id",
    "detection_row",
    "encode_headers",
    "enqueue_job",
    "event_criticalities",
    "export_readings",
    "find_duplicates",
    "finish_job",
    "get_detection",
    "get_job",
    "has_earlier_account",
    "heartbeat_job",
    "history",
    "insert_dead_letters",
    "insert_detections",
    "insert_journal",
    "interrupt_stale_jobs",
    "job_data",
    "list_jobs",
    "load_states",
    "newest_state_elsewhere",
    "newest_states",
    "next_outbox",
    "orphaned_sources",
    "outbox_size",
    "outbox_sources",
    "queued_jobs",
    "read_claim",
    "recent_alarms",
    "recent_readings",
    "save_states",
    "spread_streams",
    "start_of_newest",
    "stored_offsets",
    "stored_windows",
    "stream_key",
    "table_sizes",
]
