"""Where a claimed partition begins: by the database, then the group, then the policy."""

from __future__ import annotations

import pytest
from kafka.structs import OffsetAndMetadata

from consumers.broker.internals import BRIDGE_METADATA
from consumers.polling.claims import Start, find_start
from tests.fixtures.partitions import FakeConsumer, claiming


@pytest.mark.parametrize(
    ("stored", "committed", "replaces", "reset", "start"),
    [
        (7, 3, False, "latest", 7),
        (None, 3, False, "latest", 3),
        (None, None, False, "latest", 10),
        (None, None, False, "earliest", 2),
        (None, 8, True, "latest", 2),
    ],
)
def test_start_is_the_databases_then_the_groups_then_by_policy(
    stored, committed, replaces, reset, start
):
    consumer = FakeConsumer(2, 10, committed)
    assert find_start(consumer, claiming(stored=stored), replaces, reset, 1.0) == Start(start)


@pytest.mark.parametrize(("stored", "committed"), [(0, None), (None, 0)])
def test_start_below_the_log_is_lost(stored, committed):
    consumer = FakeConsumer(2, 10, committed)
    start = find_start(consumer, claiming(stored=stored), False, "earliest", 1.0)
    assert start == Start(2, lost=(0, 2))


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_an_offset_that_only_a_bridge_committed_to_the_group_is_no_start(reset, caplog):
    """The database was restored from a dump that does not know the partition yet."""
    consumer = FakeConsumer(2, 10, OffsetAndMetadata(8, BRIDGE_METADATA, -1))
    assert find_start(consumer, claiming(), False, reset, 1.0) == Start(2)
    assert "no account" in caplog.text
