"""Read a Parquet file as batches of plain columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from datasets.format import FileFormat
from datasets.sampled_columns import SAMPLED_ROWS, Columns
from datasets.unreadable import Unreadable
from datasets.values.decimals import Decimals
from datasets.values.units import bare

_BATCH_ROWS: Final = 20_000  # rows per batch: bounds the memory of wide files


def is_parquet(path: Path) -> bool:
    """Return whether a file begins as a Parquet file, whatever its name is."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


class ParquetSource:
    """A Parquet file, whose columns have types."""

    trim = False

    def __init__(self, path: Path, form: FileFormat) -> None:
        self._path = path
        self.notes: list[str] = []
        self.lines = Unreadable("")
        with pa.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            head = next(file.iter_batches(SAMPLED_ROWS), pa.RecordBatch.from_pylist([], schema))
        timed = (i for i, kind in enumerate(schema.types)
                 if pa.types.is_timestamp(kind) or pa.types.is_date(kind))  # fmt: skip
        cells: list[list[str]] = []
        nested: set[int] = set()
        texts: list[list[str] | None] = []
        for index, column in enumerate(map(_plain, head.columns)):
            if pa.types.is_nested(column.type) or _is_bytes(column.type):
                nested.add(index)
                cells.append([f"<{schema.types[index]}>"] * head.num_rows)
            else:
                cells.append(["" if v is None else str(v).strip() for v in _values_of(column)])
            texts.append(bare(cells[-1]) if _is_text(column.type) else None)
        self.columns = Columns(
            path.name, list(schema.names), cells, frozenset(timed),
            Decimals(texts, ";", form.decimal), frozenset(nested),
        )  # fmt: skip

    def plain(self, index: int) -> bool:
        """Return True: columns have types."""
        return True

    def batches(self, used: Sequence[int], numbers: frozenset[int] = frozenset()) -> Iterator[Any]:
        """Yield batches of the columns ``used``; ``numbers`` have their types already."""
        with pa.parquet.ParquetFile(self._path) as file:
            wanted = [file.schema_arrow.names[index] for index in used]
            order = sorted(used)
            for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
                yield pa.RecordBatch.from_arrays(
                    [_plain(column) for column in batch.columns],
                    names=[f"c{index}" for index in order],
                )


def _values_of(column: Any) -> list[Any]:
    """Return a column's values; None for times after the year 9999, which Python does not know."""
    try:
        return list(column.to_pylist())
    except OverflowError:
        known = []
    for value in column:
        try:
            known.append(value.as_py())
        except OverflowError:
            known.append(None)
    return known


def _is_text(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_bytes(kind: Any) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _plain(column: Any) -> Any:
    """Decode a dictionary column and cast text of any type to ``string``; leave other columns.

    Bytes that are UTF-8 are text: some programs do not mark their text as such.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_bytes(column.type):
        plain = column.cast(pa.binary())
        try:
            return plain.cast(pa.string())
        except pa.ArrowInvalid:
            return plain
    return column.cast(pa.string()) if _is_text(column.type) else column
