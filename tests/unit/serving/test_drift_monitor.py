"""The drift that ``/status`` shows: one group's trouble is not the others', nor the next look's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from models.bundles.bundle import Bundle
from serving import drift_monitor
from serving.drift_monitor import DriftMonitor
from training.simulate import Plant


class Rows:
    """A database that has the same newest readings for every group."""

    available = True

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    async def run(self, *_: Callable[..., Any], **__: object) -> list[Any]:
        return self._rows


async def looked(watch: DriftMonitor) -> None:
    assert watch._task is not None
    await watch._task


def test_a_group_that_cannot_be_compared_ends_nothing(
    bundle: Bundle, plant: Plant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = bundle.model_set("default")
    damaged = SimpleNamespace(profile={name: {"edges": "none"} for name in good.feature_names})
    three = SimpleNamespace(
        version="1",
        groups=["a", "broken", "z"],
        model_set=lambda group: damaged if group == "broken" else good,
    )
    values = [dict(zip(plant.feature_names, row, strict=True)) for row in plant.values[0].tolist()]
    rows = [(features, {"final_score": 0.1}) for features in values]
    monkeypatch.setattr(drift_monitor, "FRESH_S", -1.0)

    async def scenario() -> None:
        watch = DriftMonitor(Rows(rows))  # type: ignore[arg-type]
        for _ in range(2):
            watch.known(three)  # type: ignore[arg-type]
            await looked(watch)
        assert set(watch.known(three)) == {"a", "z"}  # type: ignore[arg-type]
        await looked(watch)

    asyncio.run(scenario())
    assert "drift of group broken cannot be computed" in caplog.text
