"""Collect the groups fitted by Spark's workers, in the form that a local training produces."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import pyarrow.compute as pc

from errors import TrainingError
from fleet.frames import History, column, with_states
from fleet.group_fit import SET, TWIN, GroupPlan, arranged
from fleet.spark import kept
from models.bundles.rules import Rule
from models.bundles.serialization import load_model_set
from models.fitting.model_set_fit import FitReport
from models.scoring.model_set import ModelSet
from training.data.groups import NO_SENSOR
from training.data.preparation import Prepared
from training.evaluation.alarms_of_faults import AlarmsOfFaults
from training.evaluation.summary import Measures
from training.fitting.fitted import Fitted
from training.fitting.parallel_fit import Result, Task
from training.fitting.power import Power

#: Maximum readings of the groups compared with the champion, since one core compares them.
MAX_COMPARED: Final = 200_000


@dataclass(slots=True)
class GroupRow:
    """A worker's report about one group; ``folder`` holds its model sets."""

    name: str
    about: Mapping[str, Any]
    folder: Path | None

    @property
    def notes(self) -> list[str]:
        """Return the notes of the fit, and the reason if it failed."""
        more = [f"{self.error}: left out"] if self.about["error"] else []
        return [*self.about["notes"], *more, *self.about.get("result_notes", ())]

    @property
    def measures(self) -> Measures | None:
        """Return the figures on held-out readings."""
        found = self.about.get("measures")
        if found is None:
            return None
        of_faults = found["of_faults"]
        return Measures(**{**found, "of_faults": of_faults and AlarmsOfFaults(**of_faults)})

    @property
    def error(self) -> str:
        """Return the reason why the fit failed."""
        error = str(self.about["error"])
        return error if error.startswith("group ") else f"group {self.name!r}: {error}"


def collected(frame: Any, scratch: Path) -> list[GroupRow]:
    """Fit all groups; store their model sets on disk one by one, to save memory."""
    with kept(frame) as frame:
        frame.count()  # computes everything at once; the rest only fetches
        rows = []
        for index, row in enumerate(frame.toLocalIterator()):
            content = row["content"]
            folder = None if content is None else unpack(bytes(content), scratch / str(index))
            rows.append(GroupRow(row["name"], json.loads(row["about"]), folder))
    # the order of a local training: by group, then by position
    order = {row.name: index for index, row in enumerate(rows)}
    return sorted(rows, key=lambda row: (row.about["group"], order[row.name]))


def unpack(content: bytes, folder: Path) -> Path:
    """Unpack a worker's result into ``folder``."""
    with ZipFile(BytesIO(content)) as archive:
        archive.extractall(folder)
    return folder


class StoredSets(Mapping[str, ModelSet]):
    """Model sets on disk by group, loaded on access.

    Parameters
    ----------
    folders : of each group; ``part`` is SET or TWIN. Groups without this part are not keys.
    """

    def __init__(self, folders: Mapping[str, Path], part: str) -> None:
        self._folders = {n: f / part for n, f in folders.items() if (f / part).is_dir()}

    def __getitem__(self, name: str) -> ModelSet:
        found = load_model_set(self._folders[name])
        found.group = name
        return found

    def __iter__(self) -> Any:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)


@dataclass(slots=True)
class FittedElsewhere(Task):
    """A task whose readings stayed with the worker that fitted it."""

    counted: list[list[Any]] = field(default_factory=list)

    def statistics(self) -> list[list[Any]]:
        """Return the worker's statistics."""
        return self.counted


class StoredResults(Sequence[Result]):
    """Results whose model sets are loaded on access."""

    def __init__(self, rows: Sequence[GroupRow], sets: StoredSets, twins: StoredSets) -> None:
        self._rows, self._sets, self._twins = rows, sets, twins

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        row = self._rows[index]
        about = row.about
        return Result(
            row.name, self._sets[row.name], FitReport(**about["report"]),
            self._twins.get(row.name), about["power"] and Power.from_dict(about["power"]),
            notes=list(about["result_notes"]),
        )  # fmt: skip


def held_back(
    session: Any, history: History, plan: GroupPlan, rows: Sequence[GroupRow]
) -> dict[str, Prepared]:
    """Read some groups again and prepare them like their fits, to get their held-out readings.

    Parameters
    ----------
    history, plan : as used by the fit.
    rows : the fitted groups; groups are chosen by the hashes of their names until they have
        MAX_COMPARED readings.
    """
    from pyspark.sql import functions as f

    sizes = Counter[str]()
    for row in rows:
        sizes[row.about["group"]] += 0 if row.folder is None else row.about["report"]["rows"]
    chosen, left = set[str](), MAX_COMPARED
    for group in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if 0 < sizes[group] <= left:
            chosen.add(group)
            left -= sizes[group]
    value = f.coalesce(column(plan.by), f.lit(""))
    named = f.when(value == "", NO_SENSOR).otherwise(value)
    frame = with_states(session, history, None).where(named.isin(*chosen))
    table = frame.orderBy("asset_id", "sensor_id", *history.form.order).toArrow()
    values = pc.fill_null(table[plan.by], "")
    found: dict[str, Prepared] = {}
    for one in values.unique().to_pylist():
        tasks, _ = arranged(plan, one or NO_SENSOR, table.filter(pc.equal(values, one)))
        found |= {task.name: task.prepared for task in tasks}
    return found


def assembled(
    rows: Sequence[GroupRow], plan: GroupPlan, about: dict[str, Any],
    held: Mapping[str, Prepared],
) -> Fitted:  # fmt: skip
    """Return the fitted groups in the form that a local training produces.

    Parameters
    ----------
    about : facts about the data as a whole.
    held : readings of some groups for the comparison with the champion; see :func:`held_back`.

    Raises
    ------
    TrainingError
        No group could be fitted; carries the first group's error.
    """
    good = [row for row in rows if row.folder is not None]
    if not good:
        raise TrainingError(rows[0].error)
    folders = {row.name: row.folder for row in good if row.folder is not None}
    sets, twins = StoredSets(folders, SET), StoredSets(folders, TWIN)
    tasks = []
    for row in good:
        prepared = held.get(row.name) or Prepared(list(row.about["features"]), [], [])
        task = FittedElsewhere(row.name, prepared, plan.options, plan.policy)
        task.counted = row.about["statistics"]
        tasks.append(task)
    measured = {row.name: m for row in good if (m := row.measures) is not None}
    prints = [row.about["fingerprint"] for row in rows if row.about["fingerprint"]]
    digest = hashlib.sha256("".join(one["sha256"] for one in prints).encode()).hexdigest()
    fingerprint = {**about, "sha256": digest}
    results = StoredResults(good, sets, twins)
    notes = list(dict.fromkeys(note for row in rows for note in row.notes))
    return Fitted(tasks, results, sets, twins, measured, fingerprint, _rules(rows), notes)


def _rules(rows: Sequence[GroupRow]) -> list[Rule]:
    """Return the rules of all groups; those of streams set apart within a group come first."""
    own: list[Rule] = []
    apart: list[Rule] = []
    for row in rows:
        for rule in map(Rule.from_dict, row.about["rules"]):
            (own if rule.group == row.about["group"] else apart).append(rule)
    return apart + sorted(own, key=lambda rule: (rule.group, rule.asset_id, rule.sensor_id))
