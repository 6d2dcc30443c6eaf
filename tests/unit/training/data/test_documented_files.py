"""Each example of docs/training.md on files as people have them reads a file of that kind."""

from __future__ import annotations

import gzip
import shlex
from pathlib import Path

import numpy as np
import pytest

from config import Settings
from tests.unit.datasets.plant_files import gas_sensor, scada
from training import fit

DOCS = Path(__file__).parents[4] / "docs" / "training.md"
N = 80


def examples() -> list[str]:
    text = DOCS.read_text(encoding="utf-8")
    part = text[text.index("### File formats") : text.index("## Groups")]
    return [line for line in part.splitlines() if line.startswith("python -m training.fit")]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of each kind, under the names that the examples use."""
    random = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scada.csv").write_bytes(scada(N))
    (tmp_path / "gas.csv").write_text(gas_sensor(N))
    runs = [
        f"{unit} {cycle} " + " ".join(f"{v:.4f}" for v in random.normal(500, 5, 24)) + "  \n"
        for unit in (1, 2) for cycle in range(1, N + 1)
    ]  # fmt: skip
    (tmp_path / "train_FD001.txt").write_text("".join(runs))
    (tmp_path / "valve1").mkdir()
    for name in ("0.csv", "1.csv"):
        rows = "".join(
            f"2020-03-09 1{name[0]}:{i // 60:02d}:{i % 60:02d};{v:.4f};{2 * v:.4f};0.0;0.0\n"
            for i, v in enumerate(random.normal(size=N))
        )
        (tmp_path / "valve1" / name).write_text(
            "datetime;Current;Flow;anomaly;changepoint\n" + rows
        )
    rows = "".join(f"A,2026-01-01 00:{i // 60:02d}:{i % 60:02d},{i},{-i}\n" for i in range(N))
    text = 'asset_id,timestamp,"Motor current, A",temp\n' + rows
    (tmp_path / "plant.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "tags").mkdir()
    for tag in ("TI101", "PI102"):
        lines = "".join(f"2026-01-01 {i // 60:02d}:{i % 60:02d},{i % 7}\n" for i in range(N))
        (tmp_path / "tags" / f"{tag}.csv").write_text("Time,Value\n" + lines)
    rows = "".join(f"U1,{1_767_225_600_000 + 500 * i},{i}\n" for i in range(N))
    (tmp_path / "epochs.csv").write_text("Unit,ts,f\n" + rows)
    return tmp_path


EXPECTED = [
    (["T1"], 3), (["AQ"], 4), (["1", "2"], 21), (["0", "1"], 2), (["RIG"], 2), (["A"], 2),
    (["PUMP_7"], 2), (["U1"], 1),
]  # fmt: skip


@pytest.mark.parametrize(("command", "expected"), list(zip(examples(), EXPECTED, strict=True)))
def test_a_documented_command_reads_its_file(
    plant: Path, command: str, expected: tuple[list[str], int]
) -> None:
    arguments = fit.parser().parse_args(shlex.split(command)[3:])
    request = fit.request_of(Settings(_env_file=None, var_dir=plant), arguments)
    assets, width = expected
    assert list(dict.fromkeys(s.asset_id for s in request.data.streams)) == assets
    assert len(request.data.feature_names) == width
    assert min(len(s.timestamps) for s in request.data.streams) >= N
    zoned = "--time-zone Europe/Berlin" in command
    assert request.options.seasonality == ("Europe/Berlin" if zoned else "auto")
    assert request.recipe["format"] or "features" in command
