"""Watch the column of units of a long table: each of its rows holds a value and the value's unit.

A sensor whose unit changes, such as from °C to °F, would be read as one signal with a step in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from datasets.format import quoted
from datasets.sampled_columns import Columns, Roles, plain_name
from datasets.types import StreamKey, named
from datasets.values.coded_texts import as_codes, text_of
from datasets.values.numbers import is_number, missing
from datasets.values.units import differ, plain_unit
from errors import DatasetError

_UNIT: Final = re.compile(
    "(value|sensor|tag|eng|engineering|measure|measurement|measuring)?(unit|units|uom|eu)"
    "(name|symbol|ofmeasure|ofmeasurement)?|(mess|maß|mass)?einheit|unité|unite|unidad|unità|unita"
)


def find_units(columns: Columns, roles: Roles) -> None:
    """Find the column that holds the unit of each row's value.

    Parameters
    ----------
    columns
        The file's columns.
    roles
        The roles found; receives the column of units, and a note on it.
    """
    if roles.sensor is None and len(roles.features) != 1:
        return
    taken = {*roles.used(), *roles.excluded}
    found = [
        index for index, name in enumerate(columns.names)
        if index not in taken and _UNIT.fullmatch(plain_name(name)) and _are_units(columns, index)
    ]  # fmt: skip
    if len(found) != 1:
        return
    roles.unit = found[0]
    roles.unit_name = columns.names[found[0]]
    unused = f"column {roles.unit_name!r} holds no number"
    roles.notes = [note for note in roles.notes if not note.startswith(unused)]
    roles.notes.append(f"column {roles.unit_name!r} is read as the units of the values")


def _are_units(columns: Columns, index: int) -> bool:
    cells = columns.filled(index, everywhere=True)
    return bool(cells) and not any(map(is_number, cells))


@dataclass(slots=True)
class SensorUnits:
    """The units of each stream's values, with the row of the first value in each unit."""

    column: str = ""
    first: dict[StreamKey, dict[str, int]] = field(default_factory=dict)

    def add(
        self,
        keys: Sequence[StreamKey],
        key: npt.NDArray[np.intp],
        cells: Any,
        rows: npt.NDArray[np.int64],
    ) -> None:
        """Look through some rows.

        Parameters
        ----------
        keys, key
            The streams, and the index (n,) of each row's stream.
        cells
            The units, a pyarrow array of texts.
        rows
            Row numbers (n,) in the file.

        Raises
        ------
        DatasetError
            A stream has values in two units of the same quantity; names the row.
        """
        encoded = as_codes(cells, "unit")
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        texts = [text_of(value).strip() for value in encoded.dictionary.to_pylist()]
        pairs, at = np.unique(key * (len(texts) + 1) + codes + 1, return_index=True)
        for pair, row in sorted(zip(pairs.tolist(), at.tolist(), strict=True), key=lambda p: p[1]):
            stream, code = divmod(pair, len(texts) + 1)
            if code and not missing(texts[code - 1]):
                self._meet(keys[stream], texts[code - 1], int(rows[row]))

    def _meet(self, key: StreamKey, unit: str, row: int) -> None:
        seen = self.first.setdefault(key, {})
        if plain_unit(unit) in map(plain_unit, seen):
            return
        for other, before in seen.items():
            if differ(other, unit):
                raise DatasetError(
                    f"row {row}: {named(key)} is in {unit!r}, and in {other!r} in row {before}:"
                    f" convert one of them, or --exclude {quoted(self.column)} takes the values as"
                    " they are",
                    field=self.column,
                )
        seen[unit] = row

    def notes(self) -> list[str]:
        """Return notes on streams whose unit changes, and on sensors with units by asset."""
        changing = [
            f"{named(key)}: in " + ", ".join(f"{unit!r} from row {row}" for unit, row in of.items())
            for key, of in self.first.items()
            if len(of) > 1
        ]
        sensors: dict[str | None, dict[str, str]] = {}
        for (asset, sensor), units in self.first.items():
            for unit in units:
                sensors.setdefault(sensor, {}).setdefault(unit, asset)
        differing = []
        for sensor, assets in sensors.items():
            pairs = (pair for pair in combinations(assets, 2) if differ(*pair))
            for one, other in islice(pairs, 1):
                where = f"in {one!r} for {assets[one]}, in {other!r} for {assets[other]}"
                differing.append(f"{sensor or 'the values'}: {where}")
        return [
            f"{first}{f' (and {len(more)} more)' if more else ''}; the values are used as they are"
            for first, *more in filter(None, (changing, differing))
        ]
