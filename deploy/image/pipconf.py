"""Pass pip's settings of this machine to a build in a container: ``pipconf.py FOLDER``.

Writes ``FOLDER/pip.conf`` (passed to the build as a secret, so that it is not stored in the image)
and prints the local folders and files that it refers to, one per line; the build must mount these.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: pip's options with addresses or about connections; others are not needed.
REACH = ("index-url", "extra-index-url", "find-links", "cert", "trusted-host", "proxy", "timeout")


def settings(listing: str) -> dict[str, str]:
    """Parse ``pip config list``; the environment's options take precedence, as in pip."""
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
    """Return the existing local paths among the options' values, each once."""
    paths: dict[str, None] = {}
    for value in options.values():
        for word in value.split():
            address = urlsplit(word)
            path = unquote(address.path) if address.scheme == "file" else word
            if path.startswith("/") and Path(path).exists():
                # The index in a folder links to files beside the folder.
                folder = Path(path).parent if path.rstrip("/").endswith("/simple") else Path(path)
                paths[str(folder)] = None
    return list(paths)


def main(folder: Path) -> None:
    """Write ``pip.conf`` into ``folder``, and print the paths."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    options = settings(listing)
    lines = [f"{option} = {value}\n" for option, value in options.items()]
    (folder / "pip.conf").write_text("[global]\n" + "".join(lines))
    print("\n".join(local_paths(options)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
