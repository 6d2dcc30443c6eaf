"""The service's log: LOG_LEVEL and LOG_JSON hold for BentoML's handler and all of our loggers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from runtime import (
    BENTOML_HANDLER,
    JsonFormatter,
    command_parser,
    configure_logging,
    configure_service_logging,
    one_blas_thread,
    one_line,
)

OURS = ("bentoml", "db", "models")


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What a handler of BentoML's name on the root logger writes; everything is put back."""
    text = StringIO()
    handler = logging.StreamHandler(text)
    handler.name = BENTOML_HANDLER
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in OURS}
    root.addHandler(handler)
    yield text
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_our_loggers_are_heard_at_the_level_asked_for(written: StringIO) -> None:
    configure_service_logging("INFO", as_json=False)
    logging.getLogger("db.session").info("store: %s", "here")
    logging.getLogger("models.x").debug("unheard")
    configure_service_logging("ERROR", as_json=False)
    logging.getLogger("db.session").warning("unheard, too")
    assert written.getvalue() == "store: here\n"


def test_json_is_one_object_a_line(written: StringIO) -> None:
    configure_service_logging("INFO", as_json=True)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("db").exception("failed")
    (line,) = written.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == ("ERROR", "db", "failed")
    assert "two\nlines" in entry["exception"]


def test_a_process_that_does_not_serve_is_left_alone() -> None:
    before = [logging.getLogger(name).level for name in OURS]
    configure_service_logging("ERROR", as_json=True)
    assert [logging.getLogger(name).level for name in OURS] == before


@pytest.mark.parametrize("library", ["httpx", "httpcore.http11", "urllib3.connectionpool"])
def test_addresses_that_may_hold_a_token_are_not_logged_even_with_debug(
    library: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("DEBUG", as_json=False)
    logging.getLogger(library).debug('"POST /services/%s HTTP/1.1" 200', "TOKEN")
    logging.getLogger("notify").debug("heard")
    assert "TOKEN" not in (text := capsys.readouterr().err)
    assert "heard" in text


def test_json_log_is_one_object_a_line():
    record = logging.LogRecord("consumers.bridge", 20, "f", 1, "from %d", (5,), None)
    record.action = "claimed"
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["message"], line["action"]) == ("INFO", "from 5", "claimed")


def test_a_name_from_outside_begins_no_line_of_the_log() -> None:
    name = "A\r\n2026-01-01 ERROR forged\x1b[31m\u2028"
    record = logging.LogRecord("bridge", logging.INFO, "", 0, "asset %s \u00e9", (name,), None)
    assert one_line(record)
    line = logging.Formatter().format(record)
    assert line.endswith(r"asset A\r\n2026-01-01 ERROR forged\x1b[31m\u2028 é")
    assert len(line.splitlines()) == 1


def test_blas_is_left_one_thread() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))  # a BLAS that is loaded
    with threadpool_limits(2):
        one_blas_thread()
        assert {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"} == {1}


def test_a_list_of_numbers_may_begin_with_a_minus_sign() -> None:
    parser = command_parser("training.fit", None)
    parser.add_argument("--null")
    parser.add_argument("--no-header", action="store_true")
    given = parser.parse_args(["--null", "-200,-999.25,void", "--no-header"])
    assert (given.null, given.no_header) == ("-200,-999.25,void", True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--nul", "1", "--hedaer"], "unrecognized arguments: --hedaer (did you mean --header?)"),
        (["--name", "x"], "unrecognized arguments: --name x"),
        (["--null"], "argument --null: expected one argument"),
    ],
)
def test_a_wrong_call_is_reported_without_the_list_of_options(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = command_parser("training.fit", None)
    parser.add_argument("--null")
    parser.add_argument("--header", action="store_true")
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(given)
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"python -m training.fit: error: {said}\npython -m training.fit --help lists the options\n"
    )
