"""A failing database is tried again, with growing waits, and given up in the end."""

from __future__ import annotations

import pytest

from db.retry import retried
from errors import StorageUnavailable


def test_retried_gives_up_with_the_last_error(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("db.retry.time.sleep", waits.append)
    tries = iter(range(10))

    def fail() -> None:
        raise StorageUnavailable(f"try {next(tries)}")

    with pytest.raises(StorageUnavailable, match="try 3"):
        retried(fail, tries=4)
    assert len(waits) == 3
    assert 0.05 <= waits[0] <= 0.15
    assert 0.2 <= waits[2] <= 0.6
    assert retried(lambda: 7) == 7
