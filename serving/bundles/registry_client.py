"""Query the registry through the follower process, with one file per question and answer."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from errors import BundleError, Conflict, InputError, NotFound, Unavailable
from models.bundles.atomic_files import write_text_atomically

QUESTION: Final = ".question"
ANSWER: Final = ".answer"
#: Maximum seconds for an answer, including the start of MLflow.
ANSWER_S: Final = 90.0
#: Maximum seconds for fetching a bundle from a distant store.
FETCH_S: Final = 900.0
#: Interval of checking for the answer.
LOOK_S: Final = 0.05
_KINDS: Final = {"not_found": NotFound, "bad_bundle": BundleError, "invalid_input": InputError,
                 "champion_moved": Conflict}  # fmt: skip


def questions_folder(home: Path) -> Path:
    """Return the folder of the questions, beside the folder of the bundles."""
    return home.parent / "registry-questions"


class RegistryClient:
    """Query the registry through the follower process.

    Parameters
    ----------
    home : Path
        ``VAR_DIR/bundles``.
    timeout_s : float
        Maximum seconds for an answer; a fetch may take ``FETCH_S``.
    """

    def __init__(self, home: Path, timeout_s: float = ANSWER_S) -> None:
        self._folder = questions_folder(home)
        self._timeout_s = timeout_s

    async def ask(self, what: str, **details: Any) -> Any:
        """Ask ``alias(name)``, ``fetch(version, into)`` or ``runs(limit, page, model_name)``.

        Other questions are ``versions()``, ``promote(version, why)`` and ``roll_back(champion)``.

        Raises
        ------
        Unavailable
            The registry cannot be reached, or there was no answer in time.
        NotFound, BundleError, Conflict, InputError
            The registry's own errors.
        """
        question = self._folder / f"{uuid4().hex}{QUESTION}"
        answer = question.with_suffix(ANSWER)
        patience_s = FETCH_S if what == "fetch" else self._timeout_s
        until = time.time() + patience_s  # after a crash of the service nobody waits any more
        text = json.dumps({"what": what, "details": details, "until": until})
        try:
            await asyncio.to_thread(write_text_atomically, question, text)
            async with asyncio.timeout(patience_s):
                while not answer.exists():
                    await asyncio.sleep(LOOK_S)
            reply = json.loads(answer.read_text(encoding="utf-8"))
        except TimeoutError:
            raise Unavailable(
                f"the registry did not answer within {patience_s:g} s",
                code="registry_unavailable",
            ) from None
        finally:
            question.unlink(missing_ok=True)
            answer.unlink(missing_ok=True)
        if "error" in reply:
            kind = _KINDS.get(reply["error"]["code"], Unavailable)
            raise kind(reply["error"]["message"], code=reply["error"]["code"])
        return reply["answer"]
