"""Every record is accounted for exactly once, on real brokers and a real database."""

from __future__ import annotations

from tests.fixtures.bridging import plant


def test_drain_accounts_for_every_record(scene, scoring):
    stage = scene(scoring().url)
    sent = stage.produce(plant(500))
    stage.drain()
    assert stage.accounted() == sent
    stage.check_account()
    stage.check_published()
