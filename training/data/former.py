"""Read again the readings that a registered bundle was tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from config import Settings
from datasets import FileFormat
from errors import TrainingError
from models.bundles.bundle import Bundle
from models.fitting.options import FitOptions
from training.data.groups import members_of, pick
from training.data.preparation import prepare
from training.data.sources import POSTGRESQL, TrainingData, load_data


def load_recipe(recipe: Mapping[str, Any], settings: Settings) -> TrainingData:
    """Load the data that a version's recipe names.

    Raises
    ------
    TrainingError
        The recipe names none.
    DatasetError
        They cannot be read any more.
    """

    def stored() -> TrainingData:
        from training.data.postgres import stored_data

        # readings of alarms must not be left out: the comparison is about alarms
        return stored_data(settings, keep_events=True)

    if not recipe.get("data"):
        raise TrainingError("it is not recorded what data it was trained on")
    return load_data(
        recipe["data"],
        seed=recipe.get("seed", 0),
        quick=recipe.get("quick", False),
        features=recipe.get("features"),
        group_column=recipe.get("group_column"),
        stored=stored if recipe["data"] == POSTGRESQL else None,
        form=FileFormat(**recipe.get("format", {})),
    )


def tested_on(
    recipe: Mapping[str, Any], bundle: Bundle, group: str, settings: Settings
) -> TrainingData:
    """Return the readings of a group's streams that the hold-out twin was not fitted on.

    Without the past: a stream that has settled at the level of the past would hide that a model set
    does not know this level.

    Parameters
    ----------
    recipe : mapping
        That of the bundle's version.
    bundle : Bundle
        Assigns streams to groups.
    group : str
        The group.
    settings : Settings
        Where stored readings are.

    Raises
    ------
    TrainingError
        The data are not known, have no stream of the group, or were not held out from.
    DatasetError
        The data cannot be read any more.
    """
    data = load_recipe(recipe, settings)
    if data.timed:
        members = members_of(data, bundle, group)
        if not members:
            raise TrainingError(f"no stream of its data belongs to group {group!r}")
        data = pick(data, members)
    made = prepare(
        data.streams,
        data.feature_names,
        missing=recipe.get("missing", "drop"),
        holdout=recipe.get("holdout", 0.2),
        imputed=FitOptions.from_dict(bundle.model_set(group).options).imputed,
    )
    if not made.held_out:
        raise TrainingError("none of its readings were held out")
    parts = [s.take(slice(k, None)) for s, k in zip(made.streams, made.cut, strict=True)]
    held = [part for part in parts if len(part.timestamps)]
    return replace(data, feature_names=made.feature_names, streams=held, single=())
