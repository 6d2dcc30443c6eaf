"""Convert public data sets to the project's wide CSV: ``python -m benchmarks.convert``.

    python -m benchmarks.convert cmapss train_FD001.txt engines.csv
    python -m benchmarks.convert skab valve1/0.csv valve.csv
    python -m benchmarks.convert skab valve1 valve1.csv          # a folder with its experiments

C-MAPSS (NASA, turbofan engines) has one row per flight cycle and no clock; a cycle becomes an hour.
Its constant columns are kept; training drops them with a note. SKAB (test rig of a water pump) has
one row per second and a column ``anomaly``, which becomes ``label``. Each experiment is a separate
asset, named by folder and file (``VALVE1_0``), because they were run months apart.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runtime import run_command

CMAPSS_FEATURES = [f"setting_{i}" for i in range(1, 4)] + [f"sensor_{i}" for i in range(1, 22)]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def cmapss(source: Path) -> Iterator[list[str]]:
    """Yield wide rows, the header first, from ``train_FD00x.txt``."""
    yield ["asset_id", "timestamp", *CMAPSS_FEATURES]
    for line in source.read_text().splitlines():
        unit, cycle, *values = line.split()
        if len(values) != len(CMAPSS_FEATURES):
            raise ValueError(f"a row has {len(values)} values instead of {len(CMAPSS_FEATURES)}")
        when = EPOCH + timedelta(hours=int(cycle))
        yield [f"ENGINE_{int(unit):03d}", when.isoformat(), *values]


def skab(source: Path) -> Iterator[list[str]]:
    """Yield wide rows, the header first, from an experiment's file or a folder of files."""
    header: list[str] | None = None
    for path in _experiments(source):
        rows = _experiment(path)
        first = next(rows)
        if header is None:
            header = first
            yield first
        elif first != header:
            raise ValueError(f"{path}: its columns differ from the earlier experiments'")
        yield from rows


def _experiments(source: Path) -> list[Path]:
    """Return the files in the order of their numbers."""
    if not source.is_dir():
        return [source]
    found = sorted(source.glob("*.csv"), key=lambda path: (len(path.stem), path.stem))
    if not found:
        raise ValueError(f"{source}: no CSV file in this folder")
    return found


def _experiment(source: Path) -> Iterator[list[str]]:
    asset = f"{source.resolve().parent.name}_{source.stem}".upper()
    with source.open(newline="") as file:
        rows = csv.DictReader(file, delimiter=";")
        fields = list(rows.fieldnames or [])
        features = [f for f in fields if f not in ("datetime", "anomaly", "changepoint")]
        labelled = "anomaly" in fields
        yield ["asset_id", "timestamp", *features, *(["label"] if labelled else [])]
        for row in rows:
            when = datetime.fromisoformat(row["datetime"]).replace(tzinfo=UTC)
            label = [str(int(float(row["anomaly"])))] if labelled else []
            yield [asset, when.isoformat(), *(row[f] for f in features), *label]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["cmapss", "skab"])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    rows = {"cmapss": cmapss, "skab": skab}[args.kind](args.source)
    try:
        first = next(rows)
        with args.out.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(first)
            n = 1 + sum(1 for row in rows if writer.writerow(row))
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {args.source} is no {args.kind} data: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {n - 1} readings")
    return 0


if __name__ == "__main__":
    run_command(main)
