"""The command line of the bridge."""

from __future__ import annotations

import pytest

from consumers import bridge


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as caught:
        bridge.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in ("--drain", "--check", "KAFKA_GROUP_INSTANCE_ID", "exit codes"):
        assert word in text
