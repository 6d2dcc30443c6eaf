"""Serve the page's files from memory, under addresses that change with their content."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from errors import NotFound

FOLDER = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class StaticFiles:
    """Serve the scripts and styles of a folder, compressed once.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES
        }
        self._packed = {name: gzip.compress(data, mtime=0) for name, data in self._files.items()}
        whole = hashlib.sha256()
        for name, data in self._files.items():
            whole.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        self._version = whole.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Return the address of a file.

        Raises
        ------
        KeyError
            There is no such file.
        """
        if name not in self._files:
            raise KeyError(name)
        return f"/static/{self._version}/{name}"

    async def serve(self, request: Request) -> Response:
        """Return a file; browsers cache it for a year, since new content has a new address."""
        name = request.path_params["name"]
        if name not in self._files:
            raise NotFound(f"no file {name!r:.80}")
        packs = "gzip" in request.headers.get("accept-encoding", "")
        response = Response(
            (self._packed if packs else self._files)[name], media_type=_TYPES[Path(name).suffix]
        )
        if packs:
            response.headers["content-encoding"] = "gzip"
        response.headers["vary"] = "accept-encoding"
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        response.headers["x-content-type-options"] = "nosniff"
        return response
