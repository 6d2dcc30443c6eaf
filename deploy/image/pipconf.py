"""Pass pip's settings of this machine on to a build elsewhere: ``pipconf.py FOLDER``.

Writes ``FOLDER/pip.conf`` (handed to the build as a secret, so that it stays out of the image) and
prints the local folders and files it points at, one a line: the build has to mount those.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: pip's options that name addresses or how to reach them; others are matters of taste.
REACH = ("index-url", "extra-index-url", "find-links", "cert", "trusted-host", "proxy", "timeout")


def settings(listing: str) -> dict[str, str]:
    """Read ``pip config list``; the environment's options win over the files', as in pip."""
    merged: dict[str, str] = {}
    from_environment: dict[str, str] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        option = option.removeprefix("default-")
        if option in REACH:
            target = from_environment if section == ":env:" else merged
            target[option] = value.strip("'\"").replace("\\n", " ")
    return merged | from_environment


def local_paths(options: Mapping[str, str]) -> list[str]:
    """Return the existing paths of this machine among the options' values, each once."""
    paths: dict[str, None] = {}
    for value in options.values():
        for word in value.split():
            address = urlsplit(word)
            path = unquote(address.path) if address.scheme == "file" else word
            if path.startswith("/") and Path(path).exists():
                # An index in a folder links to files beside it.
                folder = Path(path).parent if path.rstrip("/").endswith("/simple") else Path(path)
                paths[str(folder)] = None
    return list(paths)


def main(folder: Path) -> None:
    """Write ``pip.conf`` and what it refers to into ``folder``."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    options = settings(listing)
    lines = [f"{option} = {value}\n" for option, value in options.items()]
    (folder / "pip.conf").write_text("[global]\n" + "".join(lines))
    print("\n".join(local_paths(options)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
