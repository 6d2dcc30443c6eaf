"""The pins of the image: complete, with their hashes, and no question that is not needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.image import lock


def test_requirements_are_up_to_date() -> None:
    text = lock.TARGET.read_text()
    known = lock.hashes(text)
    assert list(known) == lock.wanted(), "run python -m deploy.image.lock"
    assert all(known.values()), "each pin has the hash of each of its files"
    assert text == lock.render(lock.wanted(), known)


def test_asks_the_index_for_new_pins_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = lock.wanted()
    pinned = f"{first} \\\n    --hash=sha256:{'0' * 64}"
    target = tmp_path / "requirements.txt"
    target.write_text(lock.TARGET.read_text().replace(f"{first} \\", f"{pinned} \\"))
    asked: list[str] = []

    def none_of(pins: list[str]) -> dict[str, list[str]]:
        asked.extend(pins)
        return {}

    monkeypatch.setattr(lock, "ask_index", none_of)
    monkeypatch.setattr(lock, "TARGET", target)
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    monkeypatch.setattr(lock, "wanted", lambda: [first, "none-such==1.0"])
    monkeypatch.setattr("sys.argv", ["lock"])
    assert lock.main() == 1
    assert asked == ["none-such==1.0"]


def test_names_the_package_that_has_no_pin(tmp_path: Path) -> None:
    shutil.copy(lock.ROOT / "pyproject.toml", tmp_path)
    text = (lock.ROOT / "constraints.txt").read_text()
    (tmp_path / "constraints.txt").write_text(text.replace("orjson==", "not-orjson=="))
    with pytest.raises(LookupError, match="orjson"):
        lock.wanted(tmp_path)


def test_pins_and_hashes_are_read_by_canonical_name(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# a comment\nPy_Yaml==1.0\nnumpy==2.1 \\\n    --hash=sha256:00\n\n")
    assert lock.pins(constraints) == {"py-yaml": "Py_Yaml==1.0", "numpy": "numpy==2.1"}
    one, two = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    text = lock.render(["numpy==2.1", "py-yaml==1.0"], {"numpy==2.1": [one, two],
                                                        "py-yaml==1.0": [one]})  # fmt: skip
    assert lock.hashes(text) == {"numpy==2.1": [one, two], "py-yaml==1.0": [one]}


def test_closure_follows_extras_and_leaves_other_platforms_out() -> None:
    plain = lock.closure(["SQLAlchemy"])
    assert {"sqlalchemy", "typing-extensions"} <= set(plain)
    assert "psycopg2-binary" not in plain
    extra = "postgresql-psycopg2binary"
    both = lock.closure([f"SQLAlchemy[{extra}]", "sqlalchemy", 'none-such; os_name == "nt"'])
    assert "psycopg2-binary" in both
    assert both["sqlalchemy"] == {extra}
    assert "none-such" not in both
