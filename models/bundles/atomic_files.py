"""Create folders atomically, and compute the digest that verifies their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from errors import BundleError

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def folder_digest(folder: Path, without: str = "") -> str:
    """Return a SHA-256 over names and bytes of all files below ``folder`` not named ``without``."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != without):
        name = path.relative_to(folder).as_posix().encode()
        content = hashlib.sha256(path.read_bytes()).digest()
        whole.update(len(name).to_bytes(4, "big") + name + content)
    return whole.hexdigest()


def write_text_atomically(path: Path, text: str) -> None:
    """Replace ``path`` so that a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder below ``parent``, which is removed at the end unless renamed."""
    parent.mkdir(parents=True, exist_ok=True)
    draft = parent / f".draft-{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def commit_dir(draft: Path, final: Path) -> bool:
    """Rename ``draft`` to ``final``; False when another process was first (never overwrites)."""
    try:
        draft.rename(final)
    except OSError:
        if final.is_dir():
            return False
        raise
    return True


def fetched(
    final: Path, digest: str | None, download: Callable[[Path], Path], damaged: str
) -> Path:
    """Return ``final``; download it unless an intact copy exists.

    Parameters
    ----------
    final
        The folder.
    digest
        Digest of its content; None if unknown.
    download
        Copies the content below a draft folder and returns the copy.
    damaged
        Error message if the copy has another digest.

    Raises
    ------
    BundleError
        The copy has another digest.
    """
    if cached(final, digest):
        return final
    with draft_folder(final.parent) as draft:
        copy = download(draft)
        if digest is not None and folder_digest(copy) != digest:
            raise BundleError(damaged)
        commit_dir(copy, final)
    return final


def cached(final: Path, digest: str | None) -> bool:
    """Return whether ``final`` exists with the expected content; move a damaged folder aside.

    It is not deleted at once: a process that has it loaded may still read from it.
    """
    if not final.is_dir():
        return False
    if digest is None or folder_digest(final) == digest:
        os.utime(final)  # pruning removes the folders with the oldest time of use
        return True
    final.rename(final.with_name(f".damaged-{uuid.uuid4().hex}"))
    return False


def prune_folders(home: Path, kept: int, needed: Collection[str], now: float) -> list[str]:
    """Remove all but the most recently used folders of ``home``; return the removed names.

    Drafts of killed processes are removed after a day.

    Parameters
    ----------
    home : Path
        Folder of fetched bundles; each can be fetched again.
    kept : int
        Folders to keep at most, besides those in ``needed`` and those used within the last hour,
        which a process may be about to load.
    needed : collection of str
        Names to keep regardless of age.
    now : float
        Seconds since 1970.
    """
    found = sorted(
        ((path.stat().st_mtime, path) for path in home.iterdir() if path.is_dir()), reverse=True
    )
    whole = [(used, path) for used, path in found if not path.name.startswith(".")]
    drafts = [(used, path) for used, path in found if path.name.startswith(".")]
    gone = [path for used, path in whole[kept:] if path.name not in needed and used < now - HOUR_S]
    gone += [path for used, path in drafts if used < now - DAY_S]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in gone]


def folder_bytes(home: Path) -> int:
    """Return the total size of all files below ``home``; files removed meanwhile do not count."""
    total = 0
    for path in home.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_size if path.is_file() else 0
    return total
