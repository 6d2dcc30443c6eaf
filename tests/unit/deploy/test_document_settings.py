"""Settings as they are documented: every one once, as one writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from config import Settings
from deploy import document_settings


def test_every_setting_stands_in_one_section() -> None:
    found = list(document_settings.sections())
    listed = [name for _, names in found for name in names]
    assert sorted(listed) == sorted(Settings.model_fields)
    assert all(title and names for title, names in found)
    assert len({title for title, _ in found}) == len(found)


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, ""), (True, "true"), (0.5, "0.5"), (1e-05, "1e-05"), (300.0, "300"), (7, "7"),
     (SecretStr("hidden"), "hidden"), (Path("var"), "var")],
)  # fmt: skip
def test_a_default_is_written_as_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: object, written: str
) -> None:
    monkeypatch.setitem(Settings.model_fields, "one", FieldInfo(default=value))
    assert document_settings.default("one") == written


def test_a_setting_without_default_is_written_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_fields, "one", FieldInfo(description="two\n  lines"))
    assert document_settings.default("one") == ""
    assert document_settings.meaning("one") == "two lines"
    monkeypatch.setattr(document_settings, "sections", lambda: iter([("the end", ["one"])]))
    assert "## The end" in document_settings.page()
    assert "| `ONE` | (unset) | two lines |" in document_settings.page()
    assert document_settings.example().endswith("# -- the end\n# two lines\n# ONE=\n")


def test_the_command_rewrites_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(document_settings, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["document_settings"])
    document_settings.main()
    assert (tmp_path / "docs/settings.md").read_text() == document_settings.page()
    assert (tmp_path / ".env.example").read_text() == document_settings.example()
