"""What the sender logs while the database is away."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from errors import StorageUnavailable
from notify import sender
from tests.fixtures.settings import SETTINGS


def test_an_outage_of_the_database_is_logged_at_its_start_and_at_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = sender._Process(SETTINGS)
    leader = Mock(try_acquire=Mock(return_value=False))
    for outage in (1, 2):
        monkeypatch.setattr(sender, "migrate", Mock(side_effect=StorageUnavailable("no route")))
        for _ in range(3):
            assert process._try_to_lead(Mock(), leader, drain=False) is None
        monkeypatch.setattr(sender, "migrate", Mock())
        for _ in range(3):
            assert process._try_to_lead(Mock(), leader, drain=False) is None
        assert [record.message for record in caplog.records] == outage * [
            "waiting for the database: no route",
            "the database answers again",
        ]
