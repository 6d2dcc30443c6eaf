"""Pin the image's packages: ``python -m deploy.image.lock`` rewrites ``requirements.txt``.

Pins the project's own dependencies without extras, and all their dependencies on Linux, to the
versions of ``constraints.txt`` with the SHA-256 hashes of all files in the index. So the image
contains no test tool and no embedded server, and pip rejects any other file. Existing hashes are
kept; ``uv`` asks only for those of new pins.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runtime import command_parser, run_command

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(__file__).with_name("requirements.txt")
HEADER = """\
# Made by `python -m deploy.image.lock` out of pyproject.toml and constraints.txt; do not edit.
# torch comes from an index of CPU builds, which have other hashes: see Dockerfile.template.
"""
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


def pins(constraints: Path) -> dict[str, str]:
    """Return ``name==version`` of each line of a constraints file, by canonical name."""
    lines = (line.rstrip(" \\") for line in constraints.read_text().splitlines())
    return {
        canonicalize_name(line.split("==")[0]): line
        for line in lines
        if line and not line.startswith(("#", " "))
    }


def hashes(text: str) -> dict[str, list[str]]:
    """Return the hashes in a requirements file, by canonical ``name==version``."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        name, _, version = part.split()[0].partition("==")
        found[f"{canonicalize_name(name)}=={version}"] = _HASH.findall(part)
    return found


def closure(requirements: Iterable[str]) -> dict[str, set[str]]:
    """Return all packages that ``requirements`` need here: canonical name -> extras.

    Raises
    ------
    PackageNotFoundError
        A required package is not installed, so its dependencies are unknown.
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


def wanted(root: Path = ROOT) -> list[str]:
    """Return the pins of all packages of the image, by canonical name, sorted.

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
    return [f"{name}=={versions[name].split('==')[1]}" for name in needed]


def ask_index(pinned: Iterable[str]) -> dict[str, list[str]]:
    """Query the package index for the hashes of these pins.

    Raises
    ------
    LookupError
        The index cannot be reached, or does not have a version.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pins.txt"
        source.write_text("".join(f"{pin}\n" for pin in pinned))
        done = subprocess.run(
            ["uv", "pip", "compile", "--quiet", "--no-config", "--no-deps", "--generate-hashes",
             "--no-annotate", "--no-header", "--python", sys.executable, str(source)],
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise LookupError(f"the package index gives no hashes: {done.stderr.strip()}")
    return hashes(done.stdout)


def render(pinned: Iterable[str], known: Mapping[str, Sequence[str]]) -> str:
    """Return the text of ``requirements.txt``."""
    entries = (" \\\n    ".join([pin, *(f"--hash={h}" for h in known[pin])]) for pin in pinned)
    return HEADER + "".join(f"{entry}\n" for entry in entries)


def main() -> int:
    """Rewrite ``requirements.txt``; return the exit code."""
    command_parser("deploy.image.lock", __doc__).parse_args()
    try:
        pinned = wanted()
        known = hashes(TARGET.read_text())
        new = [pin for pin in pinned if not known.get(pin)]
        known |= ask_index(new) if new else {}
        bare = [pin for pin in pinned if not known.get(pin)]
        if bare:
            raise LookupError(f"the package index gives no hashes of {', '.join(bare)}")
        TARGET.write_text(render(pinned, known))
    except (LookupError, PackageNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{TARGET.relative_to(ROOT)}: {len(pinned)} packages, {len(new)} of them new")
    return 0


if __name__ == "__main__":
    run_command(main)
