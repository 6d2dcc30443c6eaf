"""Write ``docs/settings.md`` and ``.env.example`` from :class:`config.Settings`.

``python -m deploy.document_settings`` in the root; a test fails while either is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from config import Settings
from config.settings import SECTIONS
from runtime import command_parser, run_command

ROOT = Path(__file__).resolve().parent.parent
HEAD = (
    "# Every setting with its default. Copy to .env and change what you need; "
    "the environment takes precedence.\n"
)
PAGE = """# Settings

All settings with their defaults. The environment takes precedence over `.env` in the working folder
(copy `.env.example` to begin). An invalid value stops the program with an error that names the
setting; a name that resembles a setting's is reported as misspelt. Blanks around a value do not
count, except in a password; a value in quotes, which `docker run --env-file` keeps, is refused.
Times are in seconds unless the name says otherwise; waits and intervals of polling end at
2,000,000 s, spans of readings and incidents at a hundred years. `make settings` generates this page
from `config/`.
"""


def sections() -> Iterator[tuple[str, list[str]]]:
    """Yield the title of each section with the names of its settings, in order."""
    for title, section in SECTIONS.items():
        yield title, list(section.model_fields)


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


def meaning(name: str) -> str:
    """Return what the field does: the docstring below it, in one line."""
    return " ".join((Settings.model_fields[name].description or "").split())


def page() -> str:
    """Return ``docs/settings.md``."""
    lines = [PAGE]
    for title, names in sections():
        lines += [f"## {title[0].upper()}{title[1:]}", ""]
        lines += ["| setting | default | what it does |", "|---|---|---|"]
        for name in names:
            value = f"`{default(name)}`" if default(name) else "(unset)"
            lines.append(f"| `{name.upper()}` | {value} | {meaning(name)} |")
        lines.append("")
    return "\n".join(lines)


def example() -> str:
    """Return ``.env.example``."""
    lines = [HEAD]
    for title, names in sections():
        lines.append(f"# -- {title}")
        for name in names:
            lines += [f"# {meaning(name)}", f"# {name.upper()}={default(name)}"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Rewrite both files in place."""
    command_parser("deploy.document_settings", __doc__).parse_args()
    (ROOT / "docs" / "settings.md").write_text(page())
    (ROOT / ".env.example").write_text(example())


if __name__ == "__main__":
    run_command(main)
