"""Ids of rows: the same record has the same one for ever."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5

from db.queries.copy import NAMESPACE, detection_id


def test_detection_id_is_the_uuid5_of_the_source_key() -> None:
    topic = uuid4()
    assert detection_id(topic, 3, 77) == uuid5(NAMESPACE, f"{topic}/3/77")
    # Never to change: readers know rows by it.
    assert detection_id(UUID(int=1), 0, 5) == UUID("fa7ab18f-6124-5eea-a4dd-20ffd40e15d9")
