"""Read the channels of a table, each with times of its own, as sources like files of one sensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from datasets.channels.channel_columns import Channel
from datasets.sampled_columns import Columns
from datasets.source import Source


class ChannelSource:
    """Some columns of a table, which are called c0, c1, ... in their order.

    Parameters
    ----------
    source : the whole table, whose decimal signs are known.
    held : its rows, as batches of texts or of typed columns.
    channel : the channel.
    """

    def __init__(self, source: Source, held: Sequence[Any], channel: Channel) -> None:
        self._held = held
        self._at = at = [*channel.times, *channel.values]
        self.notes: list[str] = []
        self.lines = source.lines
        self.trim = source.trim
        whole = source.columns
        names = [whole.names[index] for index in at]
        if not all(names[len(channel.times) :]):  # the name stands above the times
            names = [f"{channel.name} Time", channel.name]
        self.columns = Columns(
            whole.file,
            names,
            [whole.cells[index] for index in at],
            frozenset(here for here, index in enumerate(at) if index in whole.timed),
            whole.decimals.of([*at]),
            frozenset(here for here, index in enumerate(at) if index in whole.nested),
            nulls=whole.nulls,
            below=[[row[i] if i < len(row) else "" for i in at] for row in whole.below],
        )

    def plain(self, index: int) -> bool:
        """Return False: the rows are held as they are."""
        return False

    def batches(self, used: Sequence[int], numbers: frozenset[int] = frozenset()) -> Iterator[Any]:
        """Yield batches of the columns ``used``."""
        for batch in self._held:
            columns = [batch.column(f"c{self._at[index]}") for index in used]
            yield pa.RecordBatch.from_arrays(columns, names=[f"c{index}" for index in used])
