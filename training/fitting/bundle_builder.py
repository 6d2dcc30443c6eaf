"""Save model sets as a bundle, with a version that the content alone decides."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from models.bundles.bundle import TWIN, Bundle, Rule
from models.scoring.model_set import ModelSet


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
        With the version that its content decides.
    """
    # the order of the groups says which is the default one
    first = {} if carried is None else {g: carried.model_set(g) for g in carried.groups}
    maps = [sets, first] if first else [kept or {}, sets]  # the last map's groups come first
    whole = ChainMap(*cast("list[dict[str, ModelSet]]", maps))  # only read
    bundle = Bundle(whole, rules, folder=folder)
    bundle.save(folder)
    if twins:
        # a group that has none is its own: nothing was held out of it
        other = whole.new_child(cast("dict[str, ModelSet]", twins))
        Bundle(other, rules, version=bundle.version).save(folder / TWIN)
    return bundle
