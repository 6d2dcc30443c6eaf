"""Save model sets as a bundle; its version is a digest of the content."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from models.bundles.bundle import TWIN, Bundle
from models.bundles.rules import Rule
from models.scoring.model_set import ModelSet


def build_bundle(
    sets: Mapping[str, ModelSet],
    rules: Sequence[Rule],
    folder: Path,
    carried: Bundle | None = None,
    kept: Mapping[str, ModelSet] | None = None,
    twins: Mapping[str, ModelSet] | None = None,
) -> Bundle:
    """Save a bundle of the new model sets and of those carried over from the champion.

    Parameters
    ----------
    sets, kept : mapping
        New model sets, and former ones to keep. Read group by group, so they need not all be in
        memory.
    rules : sequence of Rule
    folder : Path
        Folder of the new bundle.
    carried : Bundle, optional
        Bundle that provides all other groups.
    twins : mapping, optional
        Model sets fitted without the newest readings; saved as the bundle's hold-out twin.
    """
    # the order of the groups decides which is the default group
    first = {} if carried is None else {g: carried.model_set(g) for g in carried.groups}
    maps = [sets, first] if first else [kept or {}, sets]  # the last map's groups come first
    whole = ChainMap(*cast("list[dict[str, ModelSet]]", maps))  # only read
    bundle = Bundle(whole, rules, folder=folder)
    bundle.save(folder)
    if twins:
        # a group without a twin is its own twin: nothing was held out of it
        other = whole.new_child(cast("dict[str, ModelSet]", twins))
        Bundle(other, rules, version=bundle.version).save(folder / TWIN)
    return bundle
