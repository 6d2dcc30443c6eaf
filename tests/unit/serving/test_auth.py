"""API keys: roles, refusals, and what the setting may look like."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from errors import AccessDenied, SettingsError
from serving.auth import Keys, is_public, main, open_to_all


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


KEYS = Keys.parse(
    f"read:{digest('r')}, detect:{digest('d')},ANNA:operate:{digest('o')},"
    f" PUMP ROOM : TRAIN:{digest('t').upper()}"
)


def test_no_keys_configured_everything_is_open() -> None:
    Keys.parse("").check({}, "train")


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("r", "read"),
        ("d", "read"),
        ("d", "detect"),
        ("o", "detect"),
        ("o", "operate"),
        ("t", "read"),
        ("t", "operate"),
        ("t", "train"),
    ],
)
def test_a_role_may_do_what_the_roles_below_it_may(key: str, role) -> None:
    KEYS.check({"authorization": f"Bearer {key}"}, role)
    KEYS.check({"x-api-key": key}, role)


@pytest.mark.parametrize(
    ("key", "role"), [("r", "detect"), ("d", "operate"), ("o", "train"), ("d", "train")]
)
def test_a_role_too_low_is_403(key: str, role) -> None:
    with pytest.raises(AccessDenied) as refused:
        KEYS.check({"x-api-key": key}, role)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "wrong"},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic cjpy"},
        {"authorization": "Bearer"},
        {"x-api-key": digest("r")},
        {"x-api-key": "\udcff\u00e4"},
    ],
)
def test_no_or_wrong_key_is_401(headers: dict[str, str]) -> None:
    with pytest.raises(AccessDenied) as refused:
        KEYS.check(headers, "read")
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "text",
    [
        "admin:" + "0" * 64,
        "read:abc",
        "read",
        "read:" + "g" * 64,
        "read:" + "0" * 63,
        "A:admin:" + "0" * 64,
        "A:B:read:" + "0" * 64,
        "n" * 101 + ":read:" + "0" * 64,
    ],
)
def test_a_wrong_setting_names_itself_and_hides_the_digest(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Keys.parse(text)
    assert "API_KEYS" in refused.value.message
    assert "000000" not in refused.value.message


def test_a_key_is_called_by_its_name_else_by_role_and_hash() -> None:
    assert KEYS.check({"x-api-key": "o"}, "operate") == "ANNA"
    assert KEYS.check({"x-api-key": "t"}, "read") == "PUMP ROOM"
    assert KEYS.check({"x-api-key": "r"}, "read") == f"read-{digest('r')[:8]}"
    assert Keys.parse("").check({}, "train") is None


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("10.1.2.3", True),
    ],
)
def test_public_addresses(host: str, public: bool) -> None:
    assert is_public(host) is public


def test_only_a_public_address_without_keys_is_open_to_all() -> None:
    assert open_to_all("127.0.0.1", Keys([])) is None
    assert open_to_all("0.0.0.0", KEYS) is None
    warning = open_to_all("0.0.0.0", Keys([]))
    assert warning is not None
    assert "0.0.0.0 without API keys" in warning


def test_the_command_prints_a_fresh_key_and_its_line() -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "serving.auth", *arguments]
        root = Path(__file__).resolve().parents[3]
        return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout

    seen = set()
    for role in ("detect", "train"):
        found = re.fullmatch(r"key \(shown only now\): (\S{40,})\nAPI_KEYS=(\S+)\n", run(role))
        assert found is not None
        seen.add(found[1])
        Keys.parse(found[2]).check({"x-api-key": found[1]}, role)
        with pytest.raises(AccessDenied):
            Keys.parse(found[2]).check({"x-api-key": found[1] + "x"}, "read")
    assert len(seen) == 2
    assert "SERVICE_API_KEY" in run("--help")


def test_the_command_hashes_a_key_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("mine\n"))
    assert main(["read", "--stdin"]) == 0
    assert capsys.readouterr().out == f"API_KEYS=read:{digest('mine')}\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with pytest.raises(SystemExit):
        main(["--stdin"])
