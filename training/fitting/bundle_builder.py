"""Save model sets as a bundle, with a version that the content alone decides."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from models.bundles.atomic_files import folder_digest
from models.bundles.bundle import TWIN, Bundle, Rule
from models.scoring.model_set import ModelSet

#: what differs between two fits of the same data and is no part of what was learnt
_INCIDENTAL = ("trained_at", "figures", "trained_on", "power")


def build_bundle(
    sets: Mapping[str, ModelSet],
    rules: Sequence[Rule],
    folder: Path,
    carried: Bundle | None = None,
    kept: Mapping[str, ModelSet] | None = None,
    twins: Mapping[str, ModelSet] | None = None,
) -> Bundle:
    """Save a bundle of ``sets``, what else ``carried`` has, and what is ``kept`` of the champion.

    Parameters
    ----------
    sets, kept : mapping
        Read group by group, so they need not all be in memory.
    twins : mapping, optional
        Those of the groups that were fitted without the newest readings: they are saved along,
        as the bundle's hold-out twin.

    Returns
    -------
    Bundle
        With the version that :func:`content_version` gives.
    """
    # the order of the groups says which is the default one
    first = {} if carried is None else {g: carried.model_set(g) for g in carried.groups}
    maps = [sets, first] if first else [kept or {}, sets]  # the last map's groups come first
    whole = ChainMap(*cast("list[dict[str, ModelSet]]", maps))  # only read
    bundle = Bundle(whole, rules)
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / "bundle"
        bundle.save(draft)
        version = content_version(draft)
    bundle = Bundle(whole, rules, version=version, folder=folder)
    bundle.save(folder)
    if twins:
        # a group that has none is its own: nothing was held out of it
        other = whole.new_child(cast("dict[str, ModelSet]", twins))
        Bundle(other, rules, version=version).save(folder / TWIN)
    return bundle


def content_version(folder: Path) -> str:
    """Return twelve hex digits of a SHA-256 over a saved bundle, without when it was made.

    The same data, options and seed give the same version.
    """
    content: dict[str, Any] = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    parts: list[Any] = [content["rules"]]
    with tempfile.TemporaryDirectory() as scratch:
        for group in sorted(content["groups"]):
            home = folder / "groups" / content["groups"][group]["folder"]
            about = json.loads((home / "model_set.json").read_text(encoding="utf-8"))
            for name in _INCIDENTAL:
                about.pop(name, None)
            rest = Path(scratch) / content["groups"][group]["folder"]
            rest.mkdir()
            for path in home.iterdir():
                if path.name != "model_set.json":
                    (rest / path.name).symlink_to(path.absolute())
            parts.append([group, about, folder_digest(rest)])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
