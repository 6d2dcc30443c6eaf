"""InfluxDB's annotated CSV is read as one table, without its own columns."""

from __future__ import annotations

import pytest

from datasets.columns.influx_columns import own_columns
from errors import DatasetError
from tests.unit.datasets.plant_files import START, Load, readings, same, table

ABOVE = "#group,false,false\r\n#datatype,string,long\r\n#default,_result,\r\n"
HEAD = ",result,table,_start,_stop,_time,host,vib,temp,flow\r\n"


def tables(parts: int, head: str = HEAD) -> str:
    values = readings(300)
    lines = table(values, head=None).splitlines()
    rows = [line.split(",", 2) for line in lines]
    text = [f",,0,{rows[0][1]},{rows[-1][1]},{time},{host},{rest}\r\n" for host, time, rest in rows]
    size = len(text) // parts
    pieces = ["".join(text[i * size : (i + 1) * size]) for i in range(parts)]
    return "\r\n".join(f"{ABOVE}{head if i else HEAD}{piece}" for i, piece in enumerate(pieces))


@pytest.mark.parametrize("parts", [1, 3, 50])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_on_end_are_one(load: Load, parts: int, encoding: str) -> None:
    data = load(tables(parts).encode(encoding), columns={"asset_id": "host"})
    same(data, readings(300))
    assert data.streams[0].timestamps[0].item() == START
    assert "result, table, _start, _stop: InfluxDB's own columns are left out" in data.notes
    assert not any("cannot be read" in note for note in data.notes)


def test_tables_of_different_measurements_are_refused(load: Load) -> None:
    with pytest.raises(DatasetError, match="tables with different columns"):
        load(tables(2, HEAD.replace("vib", "oil")), columns={"asset_id": "host"})


def test_a_column_of_fields_makes_it_a_long_table(load: Load) -> None:
    rows = "".join(
        f",,{n},2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,2026-01-01T{i:02d}:00:00Z,{i},{field}\r\n"
        for n, field in enumerate(("vib", "temp")) for i in range(24)
    )  # fmt: skip
    with pytest.raises(DatasetError, match=r"column '_field' .* --columns sensor_id=_field"):
        load(f"{ABOVE},result,table,_start,_stop,_time,_value,_field\r\n{rows}", asset_id="A")


def test_other_tables_keep_their_columns() -> None:
    assert own_columns(["timestamp", "table", "result"]) == []
