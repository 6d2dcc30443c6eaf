"""Write the README's settings table and ``.env.example`` from :class:`config.Settings`.

``python -m deploy.document_settings`` in the root; a test fails while either lacks a setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from config import Settings
from runtime import run_command

ROOT = Path(__file__).resolve().parent.parent
HEAD = (
    "# Every setting with its default. Copy to .env and change what you need; "
    "the environment wins over .env.\n"
)


def sections() -> Iterator[tuple[str, list[str]]]:
    """Yield the class's sections (its ``# -- name ---`` comments) with their fields, in order."""
    title, names = "", list[str]()
    for line in (ROOT / "config.py").read_text().splitlines():
        if heading := re.match(r"    # -- (.+?) -+$", line):
            if names:
                yield title, names
            title, names = heading[1], []
        elif (field := re.match(r"    (\w+): ", line)) and field[1] in Settings.model_fields:
            names.append(field[1])
    yield title, names


def default(name: str) -> str:
    """Return the field's default as written in the environment; empty where unset."""
    value = Settings.model_fields[name].default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Rewrite both files in place."""
    rows = ["| setting | default | what it does |", "|---|---|---|"]
    lines = [HEAD]
    for title, names in sections():
        rows.append(f"| **{title}** | | |")
        lines.append(f"# -- {title}")
        for name in names:
            what = Settings.model_fields[name].description
            value = f"`{default(name)}`" if default(name) else "(unset)"
            rows.append(f"| `{name.upper()}` | {value} | {what} |")
            lines += [f"# {what}", f"# {name.upper()}={default(name)}"]
        lines.append("")
    readme = ROOT / "README.md"
    table = "\n".join(rows)
    readme.write_text(
        re.sub(
            r"(<!-- settings -->\n).*?(<!-- /settings -->)",
            lambda found: f"{found[1]}{table}\n{found[2]}",
            readme.read_text(),
            flags=re.S,
        )
    )
    (ROOT / ".env.example").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    run_command(main)
