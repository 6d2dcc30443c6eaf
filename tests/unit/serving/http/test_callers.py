"""Who calls: by proxy, by key, by their own word, and never by a stranger's header."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from errors import InputError, SettingsError
from serving.http.callers import Callers


def request(client: Any = ("127.0.0.1", 5), key: str | None = None, **headers: str) -> Request:
    raw = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    made = Request({"type": "http", "client": client, "headers": raw, "state": {}})
    made.state.key_name = key
    return made


CALLERS = Callers.parse("X-Remote-User", "127.0.0.1, 10.0.0.0/8")
PLAIN = Callers.parse("", "")


@pytest.mark.parametrize(
    ("callers", "made", "given", "name"),
    [
        (CALLERS, request(x_remote_user="ANNA"), None, "ANNA"),
        (CALLERS, request(("10.9.8.7", 1), "panel", x_remote_user="JÖRG"), None, "JÖRG"),
        (CALLERS, request(("::ffff:10.9.8.7", 1), x_remote_user="ANNA"), None, "ANNA"),
        (CALLERS, request(("192.168.0.1", 1), x_remote_user="ANNA"), None, "anonymous"),
        (CALLERS, request(("192.168.0.1", 1), "panel", x_remote_user="ANNA"), None, "panel"),
        (CALLERS, request(None, x_remote_user="ANNA"), None, "anonymous"),
        (CALLERS, request(x_remote_user=" \x00 "), "BEN", "BEN"),
        (PLAIN, request(x_remote_user="ANNA"), None, "anonymous"),
        (PLAIN, request(), " BEN ", "BEN"),
        (PLAIN, request(key="panel"), "panel", "panel"),
        (PLAIN, request(key="system"), "system", "system (user)"),
        (CALLERS, request(x_remote_user="System"), None, "System (user)"),
    ],
)
def test_who_is_known(callers: Callers, made: Request, given: str | None, name: str) -> None:
    assert callers.name(made, given) == name


@pytest.mark.parametrize(
    ("made", "given"),
    [(request(key="panel"), "ANNA"), (request(), " "), (request(), "a\x00"),
     (request(), "system"), (request(), " System ")],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused(made: Request, given: str) -> None:
    with pytest.raises(InputError) as refused:
        PLAIN.name(made, given)
    assert refused.value.field == "who"


@pytest.mark.parametrize(
    ("header", "proxies"), [("X-User", ""), ("", "proxy.example"), ("X-User", "proxy.example")]
)
def test_half_a_setting_is_refused(header: str, proxies: str) -> None:
    with pytest.raises(SettingsError):
        Callers.parse(header, proxies)


PROXY = Callers.parse("", "127.0.0.1")


@pytest.mark.parametrize(
    ("client", "scheme", "forwarded", "secure"),
    [
        ("127.0.0.1", "http", ["https"], True), ("127.0.0.1", "http", ["http, HTTPS "], True),
        ("127.0.0.1", "http", ["https", "http"], False), ("127.0.0.1", "https", ["http"], False),
        ("127.0.0.1", "http", [], False), ("127.0.0.1", "https", [], True),
        ("10.0.0.1", "http", ["https"], False), ("10.0.0.1", "https", ["http"], True),
    ],
)  # fmt: skip
def test_only_a_trusted_proxy_says_that_it_was_called_over_tls(
    client: str, scheme: str, forwarded: list[str], secure: bool
) -> None:
    headers = [(b"x-forwarded-proto", one.encode()) for one in forwarded]
    scope = {"type": "http", "client": (client, 1), "headers": headers, "scheme": scheme,
             "path": "/", "server": ("there", 80), "query_string": b""}  # fmt: skip
    assert PROXY.is_secure(Request(scope)) is secure
