"""Questions and answers as files: each gets its own, and none is left behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from errors import AnomalyError, NotFound, Unavailable
from serving.bundles.registry_client import ANSWER, QUESTION, RegistryClient, questions_folder


async def reply(folder: Path, answers: dict[str, Any]) -> None:
    """Answer each question by what is asked."""
    open_ = dict(answers)
    while open_:
        for path in folder.glob(f"*{QUESTION}"):
            question = json.loads(path.read_text())
            path.unlink()
            answer = open_.pop(question["what"])
            path.with_suffix(ANSWER).write_text(json.dumps(answer))
        await asyncio.sleep(0)


def asked(home: Path, answers: dict[str, Any], *questions: str) -> list[Any]:
    folder = questions_folder(home)
    folder.mkdir(parents=True)

    async def scenario() -> list[Any]:
        client = RegistryClient(home, timeout_s=20)
        asking = (client.ask(what, name=what) for what in questions)
        *found, _ = await asyncio.gather(*asking, reply(folder, answers), return_exceptions=True)
        return found

    found = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert list(folder.iterdir()) == []
    return found


def test_concurrent_questions_get_their_own_answers(tmp_path: Path) -> None:
    answers = {"alias": {"answer": "3"}, "versions": {"answer": []}}
    assert asked(tmp_path / "bundles", answers, "versions", "alias") == [[], "3"]


@pytest.mark.parametrize(
    ("code", "kind"), [("not_found", NotFound), ("something_else", Unavailable)]
)
def test_an_error_is_raised_as_the_registry_raised_it(
    tmp_path: Path, code: str, kind: type[AnomalyError]
) -> None:
    answers = {"fetch": {"error": {"code": code, "message": "no version 9"}}}
    (error,) = asked(tmp_path / "bundles", answers, "fetch")
    assert isinstance(error, kind)
    assert (error.code, error.message) == (code, "no version 9")


def test_without_an_answer_it_says_how_long_it_waited(tmp_path: Path) -> None:
    folder = questions_folder(tmp_path / "bundles")
    folder.mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"within 0\.01 s") as caught:
        asyncio.run(RegistryClient(tmp_path / "bundles", 0.01).ask("alias"))
    assert caught.value.code == "registry_unavailable"
    assert list(folder.iterdir()) == []
