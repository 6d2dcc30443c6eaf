"""What is sent again: dead letters as they came, those that are asked for."""

from __future__ import annotations

from itertools import islice
from uuid import UUID

import pytest
from sqlalchemy import Engine

from consumers import replay
from consumers.replay import Message, dead_letters, main
from consumers.store import BatchCommit, BridgeStore
from db.queries.dead_letters import DeadLetterFilter
from tests.fixtures.dead_letters import letter
from tests.fixtures.settings import SETTINGS

TOPIC = UUID(int=1)


def test_dead_letters_are_chosen_by_reason_and_asset(engine):
    store = BridgeStore(engine, "one", SETTINGS)
    letters = [letter(n, asset=f"A{n % 2}") for n in range(6)]
    letters += [letter(6, "duplicate"), letter(7, "no_group", "A0"), letter(8, topic="other")]
    store.commit(BatchCommit(dead_letters=letters))
    found = list(dead_letters(engine, DeadLetterFilter("in")))
    assert len(found) == 7
    assert found[0] == Message(b"k", b"\x00\xff", [("h", None), ("h", b"\x00")], None)
    assert len(list(dead_letters(engine, DeadLetterFilter("in", reason="no_group")))) == 1
    assert len(list(dead_letters(engine, DeadLetterFilter("in", asset_id="A1")))) == 3
    assert len(list(islice(dead_letters(engine, DeadLetterFilter("in")), 2))) == 2


def test_pages_of_dead_letters_follow_one_another_and_those_put_aside_meanwhile_are_left_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replay, "PAGE", 2)
    store = BridgeStore(engine, "one", SETTINGS)
    store.commit(BatchCommit(dead_letters=[letter(n, value=b"%d" % n) for n in range(5)]))
    found = []
    for message in dead_letters(engine, DeadLetterFilter("in")):
        found.append(message.value)
        store.commit(BatchCommit(dead_letters=[letter(100 + len(found))]))  # it failed again
    assert set(found) == {b"0", b"1", b"2", b"3", b"4"}
    assert len(found) == 5


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_time_that_is_none_is_named_with_its_option(
    option: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["--dead-letters", option, "yesterday"]) == 1
    assert f"{option}: 'yesterday' is not an ISO 8601 time" in capsys.readouterr().err
