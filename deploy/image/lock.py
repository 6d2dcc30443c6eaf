"""The image's pinned packages: ``python -m deploy.image.lock`` rewrites ``requirements.txt``.

The project's own dependencies without extras, and all that those need on Linux, each at the
version of ``constraints.txt``: the image carries no test tool and no embedded server.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(__file__).with_name("requirements.txt")
HEADER = """\
# Made by `python -m deploy.image.lock` out of pyproject.toml and constraints.txt; do not edit.
# torch has to come from an index of CPU builds: see TORCH_INDEX in Dockerfile.template.
"""


def pins(constraints: Path) -> dict[str, str]:
    """``name==version`` lines of a constraints file, by canonical name."""
    lines = (line.strip() for line in constraints.read_text().splitlines())
    return {
        canonicalize_name(re.split("==", line)[0]): line
        for line in lines
        if line and not line.startswith("#")
    }


def closure(requirements: Iterable[str]) -> dict[str, set[str]]:
    """Canonical name -> extras of all that ``requirements`` need in this environment.

    Raises
    ------
    PackageNotFoundError
        A package that is needed is not installed, so what it needs is not known.
    """
    seen: dict[str, set[str]] = {}
    queue = [Requirement(line) for line in requirements]
    while queue:
        wanted = queue.pop()
        name = canonicalize_name(wanted.name)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        fresh = name not in seen
        new_extras = wanted.extras - seen.setdefault(name, set())
        seen[name] |= wanted.extras
        if fresh or new_extras:
            queue += _needs(name, new_extras)
    return seen


def _needs(name: str, extras: set[str]) -> Iterator[Requirement]:
    for line in requires(name) or []:
        need = Requirement(line)
        contexts = ["", *sorted(extras)]
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in contexts):
            need.marker = None
            yield need


def locked(root: Path = ROOT) -> str:
    """The text of ``requirements.txt``.

    Raises
    ------
    LookupError
        A package has no pin in ``constraints.txt``.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    versions = pins(root / "constraints.txt")
    needed = sorted(closure(project["dependencies"]))
    missing = [name for name in needed if name not in versions]
    if missing:
        raise LookupError(f"constraints.txt has no pin for: {', '.join(missing)}")
    return HEADER + "".join(f"{versions[name]}\n" for name in needed)


def main() -> int:
    try:
        TARGET.write_text(locked())
    except (LookupError, PackageNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{TARGET.relative_to(ROOT)}: {len(TARGET.read_text().splitlines()) - 2} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
