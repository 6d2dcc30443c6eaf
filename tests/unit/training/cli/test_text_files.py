"""TOML and JSON files that a command is given: read, or named with what is wrong."""

from __future__ import annotations

import pytest

from errors import TrainingError
from training.cli.text_files import read_document


def test_the_ending_says_which_form(tmp_path):
    for name, text in (("a.toml", "[group]\nn = 1\n"), ("a.json", '{"group": {"n": 1}}')):
        path = tmp_path / name
        path.write_text(text)
        assert read_document(path) == {"group": {"n": 1}}


@pytest.mark.parametrize(
    ("name", "content"), [("a.toml", b"= 1"), ("a.json", b"{"), ("a.toml", b"\xff\xfe"), ("", b"")]
)
def test_what_cannot_be_read_is_named(tmp_path, name, content):
    path = tmp_path / (name or "absent.toml")
    if name:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match=f"^{path}: "):
        read_document(path)
