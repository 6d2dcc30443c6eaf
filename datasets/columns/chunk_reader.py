"""Read a chunk of rows as validated columns (ids, times, numbers, labels); errors name the row."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from datasets.columns.odd_rows import Titles, a_title, bare_dates, subtotals, title_of
from datasets.columns.quality_columns import bad_rows
from datasets.columns.repeated_names import RepeatedNames
from datasets.columns.unit_column import SensorUnits
from datasets.findings import Findings
from datasets.sampled_columns import Roles
from datasets.times.time_of_day import joined
from datasets.times.time_parsing import MADE_UP_START, Clock
from datasets.types import Flags, Floats, StreamKey, Times
from datasets.values.coded_texts import Texts, as_codes, id_text, text_of
from datasets.values.decimals import Decimals
from datasets.values.numbers import EXACT, Nulls, to_floats
from datasets.values.units import in_another_unit, means_the_same, scales, without_unit
from errors import DatasetError, InputError
from schemas import check_name

Rows = npt.NDArray[np.int64]
_NUMERIC = (pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file.

    Parameters
    ----------
    keys : the streams in the chunk.
    key : (n,) index of each row's stream in ``keys``.
    times : (n,) UTC, or local time where ``local`` (n,) is set.
    values : (n, d)
    labels, groups : None if the file has no such column.
    rows : (n,) row numbers in the file, from 1.
    """

    keys: list[StreamKey]
    key: npt.NDArray[np.intp]
    times: Times
    local: Flags
    values: Floats
    labels: Texts | None
    groups: Texts | None
    rows: Rows

    def take(self, keep: Flags) -> Chunk:
        """Return some of the rows, by a mask (n,); ``keys`` stay as they are."""
        labels, groups = (
            None if texts is None else Texts(texts.codes[keep], texts.values)
            for texts in (self.labels, self.groups)
        )
        return Chunk(
            self.keys, self.key[keep], self.times[keep], self.local[keep], self.values[keep],
            labels, groups, self.rows[keep],
        )  # fmt: skip


@dataclass(slots=True)
class ChunkReader:
    """Turn record batches of one file into chunks; a batch's columns are called c0, c1, ..."""

    roles: Roles
    clock: Clock
    decimals: Decimals = field(default_factory=Decimals)
    nulls: Nulls = field(default_factory=Nulls)
    trim: bool = False
    found: Findings = field(default_factory=Findings)
    units: SensorUnits = field(default_factory=SensorUnits)
    titles: Titles = field(default_factory=Titles)
    names: RepeatedNames = field(init=False)

    def __post_init__(self) -> None:
        """Look for repeated names in the columns of the roles."""
        self.names = RepeatedNames(self.roles)

    def read(self, batch: Any, rows: Rows) -> Chunk:
        """Read a batch; ``rows`` (n,) are its row numbers in the file.

        A few unreadable rows and values are left out, see :mod:`datasets.unreadable`.

        Raises
        ------
        InputError
            Names the row and the invalid value.
        """
        total = int(rows[-1]) if len(rows) else 0
        names = self.names.find(batch, rows)
        if names is not None:
            self.found.names += int(names.sum())
            batch, rows = batch.filter(pa.array(~names)), rows[~names]
        blank = self._blank(batch)
        if blank is not None:
            self.found.blank += int(blank.sum())
            batch, rows = batch.filter(pa.array(~blank)), rows[~blank]
        try:
            keys, key, times, local = self._whose_and_when(batch, rows)
        except DatasetError:
            batch, rows = self._without_unreadable(batch, rows, total)
            keys, key, times, local = self._whose_and_when(batch, rows)
        if self.titles.texts:
            self.titles.check(rows, times)
        odd = self._subtotals(batch, rows, times, key)
        if odd.any():
            self.found.rows.check(total)
            batch, rows = batch.filter(pa.array(~odd)), rows[~odd]
            key, times, local = key[~odd], times[~odd], local[~odd]
        self.found.local += int(local.sum())
        self.found.universal += int(np.sum(~local))
        if self.roles.unit is not None:
            self.units.add(keys, key, batch.column(f"c{self.roles.unit}"), rows)
        values = self._values(batch, rows)
        self.found.values.check(total)
        return Chunk(
            keys, key, times, local, values,
            self._texts(batch, self.roles.label), self._texts(batch, self.roles.group), rows,
        )  # fmt: skip

    def _whose_and_when(
        self, batch: Any, rows: Rows
    ) -> tuple[list[StreamKey], npt.NDArray[np.intp], Times, Flags]:
        keys, key = self._keys(batch, rows)
        if self.roles.times:
            return keys, key, *self._times(batch, rows)
        n = batch.num_rows
        return keys, key, np.full(n, MADE_UP_START), np.zeros(n, bool)

    def _without_unreadable(self, batch: Any, rows: Rows, total: int) -> tuple[Any, Rows]:
        """Leave out rows whose asset or time is unreadable; found by bisection, in order."""
        try:
            self._whose_and_when(batch, rows)
            return batch, rows
        except DatasetError as error:
            if len(rows) == 1:
                row, title = int(rows[0]), title_of(batch, self.roles)
                if title is not None:
                    self.titles.texts[row] = title
                self.found.rows.add(row, error if title is None else a_title(row, title))
                self.found.rows.check(total)
                return batch.slice(0, 0), rows[:0]
        half = len(rows) // 2
        parts = [
            self._without_unreadable(batch.slice(0, half), rows[:half], total),
            self._without_unreadable(batch.slice(half), rows[half:], total),
        ]
        whole = pa.Table.from_batches([part for part, _ in parts]).combine_chunks().to_batches()
        kept = whole[0] if whole else batch.slice(0, 0)
        return kept, np.concatenate([numbers for _, numbers in parts])

    def _subtotals(self, batch: Any, rows: Rows, times: Times, key: npt.NDArray[np.intp]) -> Flags:
        """Return which rows (n,) are subtotals of a day, and count the dates that are read."""
        if len(self.roles.times) != 1 or self.clock.kind not in ("iso", "format"):
            return np.zeros(len(rows), bool)
        column = times_of(batch, self.roles)
        bare = bare_dates(column, times)
        odd = subtotals(bare, times, key)
        for at in np.flatnonzero(odd):
            error = DatasetError(
                f"row {rows[at]}: timestamp {column[int(at)].as_py()!r:.40} has no time of day, as"
                " others have, and steps back: a subtotal?",
                field="timestamp",
            )
            self.found.rows.add(int(rows[at]), error)
        for at in np.flatnonzero(bare & ~odd):
            self.found.midnights.append(int(rows[at]))
        return odd

    def _blank(self, batch: Any) -> npt.NDArray[np.bool_] | None:
        """Return which rows (n,) are empty, as spreadsheets leave them at the end of a table."""
        keys = [p for p in (self.roles.asset, *self.roles.times) if p is not None]
        empty: npt.NDArray[np.bool_] | None = None
        for index in (*keys, *self.roles.features):
            column = batch.column(f"c{index}")
            bare = column.is_null()
            if pa.types.is_string(column.type):
                bare = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
            here = bare.to_numpy(zero_copy_only=False)
            empty = here if empty is None else empty & here
            if not empty.any():
                return None
        return empty

    def _keys(self, batch: Any, rows: Rows) -> tuple[list[StreamKey], Any]:
        n = batch.num_rows
        assets, which = [self.roles.asset_name], np.zeros(n, np.intp)
        if self.roles.asset is not None:
            found, which = self._ids(batch, self.roles.asset, "asset_id", rows)
            assets = [name or "" for name in found]
        sensors: list[str | None] = [None]
        kind = np.zeros(n, np.intp)
        if self.roles.sensor is not None:
            sensors, kind = self._ids(batch, self.roles.sensor, "sensor_id", rows)
        pairs, begin, key = np.unique(
            which * len(sensors) + kind, return_index=True, return_inverse=True
        )
        order = np.argsort(begin)  # in order of first appearance
        index = np.empty(len(pairs), np.intp)
        index[order] = np.arange(len(pairs))
        keys = [(assets[p // len(sensors)], sensors[p % len(sensors)]) for p in pairs[order]]
        return keys, index[key]

    def _ids(
        self, batch: Any, index: int, name: str, rows: Rows
    ) -> tuple[list[str | None], npt.NDArray[np.intp]]:
        encoded = as_codes(batch.column(f"c{index}"), name)
        codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
        values = [*encoded.dictionary.to_pylist(), None]
        texts: list[str | None] = [None] * len(values)
        used, first = np.unique(codes, return_index=True)
        for number, at in zip(used.tolist(), first.tolist(), strict=True):
            text = id_text(values[number], name, int(rows[at]))
            if text is not None and self.trim:
                text = text.strip()
            try:
                if text or name == "asset_id":  # the sensor is optional
                    check_name(text if text is not None else "", name)
            except InputError as error:
                problem = f"{name}: is missing" if text is None else error.message
                if text == "":
                    problem = f"{name} is empty: each row must name it, also below a merged cell"
                raise DatasetError(f"row {rows[at]}: {problem}", field=name) from None
            texts[number] = text or None
        return texts, codes.astype(np.intp)

    def _times(self, batch: Any, rows: Rows) -> tuple[Times, Flags]:
        column = times_of(batch, self.roles)
        if self.trim and pa.types.is_string(column.type):
            column = pc.utf8_trim_whitespace(column)
        return self.clock.parse(column, int(rows[0]) if len(rows) else 1)

    def _values(self, batch: Any, rows: Rows) -> Floats:
        values = np.empty((batch.num_rows, len(self.roles.names)))
        for number, (index, name) in enumerate(
            zip(self.roles.features, self.roles.names, strict=True)
        ):
            values[:, number] = self._numbers(batch.column(f"c{index}"), index, name, rows)
        infinite = np.isinf(values)
        if infinite.any():
            for row, number in np.argwhere(infinite):
                name = self.roles.names[number]
                error = DatasetError(
                    f"row {rows[row]}: {name} is not finite: --null={values[row, number]}",
                    field=name,
                )
                self.found.values.add(int(rows[row]), error)
            values[infinite] = np.nan
        self._leave_out_bad(batch, values)
        return values

    def _leave_out_bad(self, batch: Any, values: Floats) -> None:
        """Replace values (n, d) by NaN where a column says that their quality is bad."""
        for index, judged in self.roles.qualities.items():
            rows = bad_rows(batch.column(f"c{index}"), index in self.roles.one_is_good)
            for feature in judged if rows.any() else ():
                number = self.roles.features.index(feature)
                bad = int((rows & ~np.isnan(values[:, number])).sum())
                if not bad:
                    continue
                values[rows, number] = np.nan
                name = self.roles.names[number]
                self.found.bad[name] = self.found.bad.get(name, 0) + bad

    def _numbers(self, column: Any, index: int, name: str, rows: Rows) -> Floats:
        kind = column.type
        if pa.types.is_string(kind):
            if name in self.roles.units:
                column = self._without_unit(column, name, rows)
            return to_floats(column, name, rows, self.decimals.sign(index), self.nulls, self.found)
        if pa.types.is_boolean(kind):
            self.found.switches[name] = None
            column = column.cast(pa.int8())
        elif pa.types.is_integer(kind):
            bounds = pc.min_max(column).as_py()
            if max(abs(bounds["min"] or 0), abs(bounds["max"] or 0)) > EXACT:
                self.found.rounded[name] = None
        elif not any(is_kind(kind) for is_kind in _NUMERIC):
            raise DatasetError(
                f"column {name!r} holds {kind}, not numbers: --exclude {name!r} leaves it out",
                field=name,
            )
        numbers = column.cast(pa.float64(), safe=False)
        return self.nulls.blank(numbers.to_numpy(zero_copy_only=False))

    def _without_unit(self, column: Any, name: str, rows: Rows) -> Any:
        """Return a text column without its unit; numbers that lack a unit that scales are odd."""
        unit = self.roles.units[name]
        for at in in_another_unit(column, unit):
            error = DatasetError(
                f"row {rows[at]}: column {name!r} holds {column[at].as_py()!r:.80} among numbers"
                f" in {unit!r}: convert it, or --exclude {name!r} leaves the column out",
                field=name,
            )
            self.found.values.add(int(rows[at]), error)
        if scales(unit):
            ends = pc.match_substring_regex(column, rf"{re.escape(unit)}\s*$")
            figures = pc.match_substring_regex(column, r"^\s*[+-]?[.,]?\d")
            bare = pc.fill_null(pc.and_(figures, pc.invert(ends)), False)
            odd = [
                row for row in np.flatnonzero(bare.to_numpy(zero_copy_only=False))
                if not means_the_same(column[int(row)].as_py(), unit)
            ]  # fmt: skip
            for row in odd:
                error = DatasetError(
                    f"row {rows[row]}: column {name!r} holds {column[int(row)].as_py()!r:.80}"
                    f" without the {unit!r} after its other numbers: --exclude {name!r} leaves the"
                    " column out",
                    field=name,
                )
                self.found.values.add(int(rows[row]), error)
            if odd:
                keep = np.ones(len(column), bool)
                keep[odd] = False
                column = pc.if_else(pa.array(keep), column, None)
        return without_unit(column, unit)

    def _texts(self, batch: Any, index: int | None) -> Texts | None:
        if index is None:
            return None
        name = "label" if index == self.roles.label else "group"
        encoded = as_codes(batch.column(f"c{index}"), name)
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        values = [text_of(value) for value in encoded.dictionary.to_pylist()]
        return Texts(codes, [value.strip() if self.trim else value for value in values])


def times_of(batch: Any, roles: Roles) -> Any:
    """Return a batch's times: one column, or date and time of day joined."""
    parts = [batch.column(f"c{index}") for index in roles.times]
    return parts[0] if len(parts) == 1 else joined(parts, roles.time_kind)
