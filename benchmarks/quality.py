"""``python -m benchmarks.quality``: how well the defaults detect, and how often they cry wolf.

Prints one table, mean and spread over the seeds, with simple methods beside ours, and writes it
as a plot. Data sets that are not there are named and left out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import experiments
from benchmarks.experiments import Row

NAMES = ("skab", "cmapss", "free", "calm", "plant")


def main(argv: list[str] | None = None) -> int:
    """Run the experiments asked for; 0 unless nothing could be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="data sets")
    parser.add_argument("--only", choices=NAMES, action="append", help="this one; repeatable")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a part of each, one seed")
    parser.add_argument("--plot", type=Path, help="write a plot of the table here (.png)")
    args = parser.parse_args(argv)
    rows: list[Row] = []
    for name in args.only or NAMES:
        task = _task(name, args.shared)
        if task is None:
            print(f"{name}: no data under {args.shared}, left out", file=sys.stderr)
            continue
        for seed in range(1 if args.quick else args.seeds):
            began = time.perf_counter()
            rows += task(seed, args.quick)
            took = time.perf_counter() - began
            print(f"{name}, seed {seed}: {took:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))
    if args.plot and rows:
        plot(rows, args.plot)
    return 0 if rows else 1


def _task(name: str, shared: Path) -> Callable[[int, bool], list[Row]] | None:
    if name == "calm":
        return experiments.calm
    if name == "plant":
        return experiments.plant
    needed = {
        "skab": (shared / "skab" / "valve1", experiments.skab),
        "free": (shared / "skab" / "anomaly-free", experiments.anomaly_free),
        "cmapss": (shared / "cmapss" / "train_FD001.txt", experiments.cmapss),
    }
    path, run = needed[name]
    if not path.exists():
        return None
    return lambda seed, quick: run(shared, seed, quick)


def table(rows: list[Row]) -> str:
    """Mean and spread (half the range) over the seeds, one line a figure."""
    lines = [f"{'data':22} {'method':18} {'measure':32} {'mean':>9} {'+-':>8}  seeds"]
    for key, values in collect(rows).items():
        data, method, measure = key
        spread = (max(values) - min(values)) / 2
        mean = float(np.mean(values))
        lines.append(f"{data:22} {method:18} {measure:32} {mean:9.3f} {spread:8.3f}  {len(values)}")
    return "\n".join(lines)


def collect(rows: list[Row]) -> dict[tuple[str, str, str], list[float]]:
    """Values over the seeds by (data, method, measure), in the order of first appearance."""
    out: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        out.setdefault((row.data, row.method, row.measure), []).append(row.value)
    return out


def plot(rows: list[Row], path: Path) -> None:
    """Every figure of ours as a bar with its range."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = {k: v for k, v in collect(rows).items() if k[1] == experiments.OURS}
    labels = [f"{data}: {measure}" for data, _, measure in found]
    means = [float(np.mean(v)) for v in found.values()]
    half = [(max(v) - min(v)) / 2 for v in found.values()]
    figure, axes = plt.subplots(figsize=(9, 0.3 * len(labels) + 1), layout="constrained")
    axes.barh(labels, means, xerr=half)
    axes.set_xscale("symlog", linthresh=0.1)
    axes.invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
