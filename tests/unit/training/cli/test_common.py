"""What the training commands print for people: names of the plant come out as they are."""

from __future__ import annotations

import pytest

from training.cli.common import consoles
from training.cli.printed_table import new_table

NAME = "Winding temperature of the second drive, :fire: side [degC] [/bar]"


def test_units_in_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = consoles()
    out.print(f"note: {NAME}")
    err.print(f"note: {NAME}")
    assert capsys.readouterr() == (f"note: {NAME}\n", f"note: {NAME}\n")


def test_a_long_name_in_a_crowded_table_is_there_to_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = new_table(NAME, ["feature", *(f"share {n}" for n in range(12))], left=["feature"])
    table.add_row(NAME, *["100%"] * 12)
    consoles()[0].print(table)
    title, *_, rows = capsys.readouterr().out.partition("┡")
    cells = [line.split("│")[1].strip() for line in rows.splitlines() if line.startswith("│")]
    assert title.startswith(NAME)
    assert "".join(cells).replace(" ", "") == NAME.replace(" ", "")


def test_a_name_is_not_broken_while_the_heads_of_figures_can_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "Lagertemperatur_Antriebsseite"
    figures = ["step 3 sd", "step 6 sd", "spike 6 sd", "spike 12 sd", "drift 6 sd", "likeness",
               "noise 3 sd", "stuck", "moves"]  # fmt: skip
    table = new_table("Injected faults", ["group", "feature", *figures], ["group", "feature"])
    table.add_row("default", name, *["100%"] * len(figures))
    consoles()[0].print(table)
    out = capsys.readouterr().out
    assert f"default │ {name} │" in out
    assert out.count("100%") == len(figures)
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 120
