"""Measure the history query on millions of rows: the first page against deep ones.

    python -m benchmarks.history [--rows 5000000] [--months 6]

Prints milliseconds (median of repeated calls, including the count of matches) and the ratio of a
deep page, by cursor and by offset, to the first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from sqlalchemy import Connection, text

from benchmarks.database import fill_history, throw_away_database, vacuum
from db.queries.cursors import encode_cursor
from db.queries.history import HistoryFilter, history, page_query
from db.session import transaction
from runtime import run_command

CASES = {
    "anomalies": HistoryFilter(),
    "everything": HistoryFilter(is_anomaly=None),
    "anomalies of an asset": HistoryFilter(asset_id="ASSET_7"),
    "everything of a stream": HistoryFilter(asset_id="ASSET_7", sensor_id="S1", is_anomaly=None),
    "everything of a sensor": HistoryFilter(sensor_id="S1", is_anomaly=None),
    "critical ones": HistoryFilter(criticality="critical"),
    "of an unknown asset": HistoryFilter(asset_id="nobody", is_anomaly=None),
}


def milliseconds(call: Callable[[], object], repeat: int) -> float:
    took = []
    for _ in range(repeat):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def compare(connection: Connection, filters: HistoryFilter, repeat: int) -> str:
    """Return one line: matches, first page, and a page at nine tenths of them."""
    count = text(f"SELECT count(*) FROM anomaly_detections {_where(filters)}")  # noqa: S608
    _, values = page_query(filters, limit=1)
    matches = connection.execute(count, values).scalar_one()
    first = milliseconds(lambda: history(connection, filters), repeat)
    if matches < 1000:
        return f"{matches:>9,} {first:9.1f} ms"
    offset = matches * 9 // 10
    query, values = page_query(filters, limit=1, offset=offset)
    row = connection.execute(text(query), values).mappings().first()
    assert row is not None
    cursor = encode_cursor(row["timestamp"], row["id"], filters)
    deep = milliseconds(lambda: history(connection, filters, cursor=cursor), repeat)
    skipped = milliseconds(lambda: history(connection, filters, offset=offset), 1)
    return (
        f"{matches:>9,} {first:9.1f} ms {deep:9.1f} ms  x {deep / first:4.1f}"
        f" {skipped:10.0f} ms  x {skipped / first:6.0f}"
    )


def _where(filters: HistoryFilter) -> str:
    query, _ = page_query(filters, limit=1)
    return query[query.index("WHERE") : query.index("ORDER BY")]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--repeat", type=int, default=15)
    arguments = parser.parse_args(argv)
    with throw_away_database() as engine:
        began = time.perf_counter()
        with transaction(engine) as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            fill_history(connection, arguments.rows, arguments.months)
        vacuum(engine)
        print(f"{arguments.rows:,} rows filled in {time.perf_counter() - began:.0f} s")
        print(f"{'':24}{'matches':>9} {'first page':>12} {'9/10 by cursor':>20} {'by offset':>18}")
        for name, filters in CASES.items():
            with transaction(engine) as connection:
                print(f"{name:24}{compare(connection, filters, arguments.repeat)}", flush=True)


if __name__ == "__main__":
    run_command(main)
