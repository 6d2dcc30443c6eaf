"""Measure detection and false alarms of the defaults: ``python -m benchmarks.quality``.

Prints a table per data set with mean and spread over the seeds, compared with simple methods, and
plots the same. Missing data sets are reported and skipped. Results are kept by experiment and seed
under ``var/quality`` until the code changes, so a stopped run can continue and two runs can share
the work.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks import experiments, noise, plants, shifts, simulated
from benchmarks.fit_time import fit_time
from benchmarks.report import Row, plot, table
from runtime import run_command

NAMES = ("skab", "cmapss", "free", "calm", "plant", "noise", "asd", "smd", "inputs", "ims", "air",
         "fd002", "dirty", "lasting", "fit")  # fmt: skip
_ROOT = Path(__file__).resolve().parent.parent
_CODE = (
    "models/**/*.py", "training/simulate.py",
    *(f"benchmarks/{n}.py" for n in ("data", "experiments", "measures", "methods", "noise",
                                     "plain", "plants", "scored", "shifts", "simulated")),
)  # fmt: skip
#: Parts of models/ that do not influence scores.
_CARRIERS = ("bundles", "registry")

Task = Callable[[int, bool], list[Row]]


def main(argv: list[str] | None = None) -> int:
    """Run the requested experiments; return 0 unless none could be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="data sets")
    parser.add_argument("--only", choices=NAMES, action="append", help="this one; repeatable")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a part of each, one seed")
    parser.add_argument("--fresh", action="store_true", help="ignore kept results")
    parser.add_argument("--keep", type=Path, default=Path("var/quality"), help="where it is kept")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="whose fit is timed, too")
    parser.add_argument("--plot", type=Path, help="default: quality.png where results are kept")
    args = parser.parse_args(argv)
    rows: list[Row] = []
    for name in args.only or NAMES:
        task = _task(name, args.shared, args.beside)
        if task is None:
            missing = "no --beside" if name == "fit" else f"no data under {args.shared}"
            print(f"{name}: {missing}, left out", file=sys.stderr)
            continue
        for seed in range(1 if args.quick else args.seeds):
            file = args.keep / f"{name}-{seed}{'-quick' * args.quick}.json"
            rows += measured(task, seed, args.quick, file, args.fresh)
    if not rows:
        return 1
    print(table(rows))
    plot(rows, args.plot or args.keep / "quality.png")
    return 0


def measured(task: Task, seed: int, quick: bool, file: Path, fresh: bool) -> list[Row]:
    """Return the rows kept in ``file`` if this code made them, else measure and keep them."""
    code = code_digest()
    if file.exists() and not fresh:
        kept = json.loads(file.read_text())
        if kept["code"] == code:
            return [Row(**row) for row in kept["rows"]]
    began = time.perf_counter()
    rows = task(seed, quick)
    took = time.perf_counter() - began
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"code": code, "seconds": round(took, 1), "rows": [asdict(row) for row in rows]}
    file.write_text(json.dumps(content, indent=1))
    print(f"{file.stem}: {took:.0f} s", file=sys.stderr, flush=True)
    return rows


def code_digest() -> str:
    """Return a digest of all code that influences results."""
    digest = hashlib.sha256()
    for pattern in _CODE:
        for path in sorted(_ROOT.glob(pattern)):
            if path.parent.name not in _CARRIERS:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _task(name: str, shared: Path, other: Path | None) -> Task | None:
    if name == "fit":
        return None if other is None else lambda seed, quick: fit_time(other, seed, quick)
    made_up = {
        "calm": simulated.calm,
        "plant": simulated.plant,
        "noise": noise.noise,
        "lasting": shifts.lasting,
        "dirty": lambda seed, quick: plants.contaminated(shared, seed, quick),
    }
    if name in made_up:
        return made_up[name]
    needed = {
        "skab": (shared / "skab" / "valve1", experiments.skab),
        "free": (shared / "skab" / "anomaly-free", experiments.anomaly_free),
        "cmapss": (shared / "cmapss" / "train_FD001.txt", experiments.cmapss),
        "asd": (shared / "real" / "asd_SERVER_01.csv", plants.servers),
        "smd": (shared / "real" / "smd_MACHINE_2-7.parquet", plants.machines),
        "inputs": (shared.parent / "inputs" / "01_clean.csv", plants.inputs),
        "ims": (shared / "real" / "ims_test2.csv", plants.bearings),
        "air": (shared / "real" / "air_quality_blanks.csv", plants.air),
        "fd002": (shared / "real" / "cmapss_FD002_part.csv", plants.conditions),
    }
    path, run = needed[name]
    if not path.exists():
        return None
    return lambda seed, quick: run(shared, seed, quick)


if __name__ == "__main__":
    run_command(main)
