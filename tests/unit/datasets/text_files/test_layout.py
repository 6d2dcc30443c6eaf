"""How a text file is laid out: its separator, its line of names, its decimal sign."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from datasets.format import BLANKS, FileFormat
from datasets.text_files.layout import Layout, read_layout
from datasets.text_files.text import SAMPLE_BYTES
from errors import DatasetError
from tests.unit.datasets.plant_files import Load

Read = Callable[..., Layout]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def act(content: str | bytes, **form: Any) -> Layout:
        path = tmp_path / "plant.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_layout(path, FileFormat(**form))

    return act


def table(delimiter: str, *cells: str) -> str:
    """Two rows of these cells below their names."""
    head = delimiter.join(f"n{i}" for i in range(len(cells)))
    return "\n".join([head, delimiter.join(cells), delimiter.join(cells)]) + "\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_makes_a_table(read: Read, delimiter: str) -> None:
    found = read(table(delimiter, "A", "1.5", "2"))
    assert found.delimiter == delimiter
    assert found.names == ["n0", "n1", "n2"]
    assert found.rows == [["A", "1.5", "2"]] * 2
    assert found.skip == 1


def test_runs_of_blanks_are_one_separator(read: Read) -> None:
    found = read("n0   n1\n 1    2\n3 4\n")
    assert found.delimiter == BLANKS
    assert found.rows == [["1", "2"], ["3", "4"]]


def test_settings_that_nearly_have_the_tables_width_are_no_names(read: Read) -> None:
    rows = "".join(f"2023-05-01 00:0{i},{i}.5,7\n" for i in range(5))
    found = read(f"SENSOR NAME,HT1\nTimestamp,Temp,Humidity\n{rows}")
    assert (found.names, found.skip) == (["Timestamp", "Temp", "Humidity"], 2)
    channels = "CH,Signal\nCH1,TEMP,TC_K,Off\nCH2,DC,5V,Off\nLogic,Off\nData\n"
    found = read(f"{channels}Date&Time,CH1,CH2\nTime,degC,V\n{rows}")
    assert (found.names, found.skip) == (["Date&Time", "CH1", "CH2"], 7)
    assert found.below == [["Time", "degC", "V"]]
    ends = "".join(f"2023-05-01 00:0{i},{i}.5,\n" for i in range(5))
    assert read(f"Timestamp,Temp\n-,degC,\n{ends}").names == ["Timestamp", "Temp", ""]


def test_lines_above_a_table_without_names_are_told(read: Read) -> None:
    found = read("Logger 7\n1,2,3\n4,5,6\n7,8,9\n", header=False)
    assert found.rows[0] == ["1", "2", "3"]
    assert found.notes == ["1 lines before the first row are left out"]


def test_descriptions_with_figures_below_the_names_are_no_reading(read: Read) -> None:
    rows = "".join(f"01-May-23 00:0{i}:00,5.{i},Bad Input\n" for i in range(5))
    names = "Tag,SINUSOID,CDT158\nDescription,12 Hour Sine Wave,Tower 10 Vapor\nUnits,,DEG. C\n"
    found = read(names + rows.replace("Bad Input", "150.5", 4))
    assert found.skip == 3
    assert found.rows[0] == ["01-May-23 00:00:00", "5.0", "150.5"]
    assert found.below[0] == ["Description", "12 Hour Sine Wave", "Tower 10 Vapor"]
    assert read("Tag,a,b\n" + rows).skip == 1
    site = "Site,Asset,Type\nHall 12,Pump 07,KSB 32\nTime,temp,flow\n"
    assert read(site + rows).names == ["Time", "temp", "flow"]


def test_blanks_within_quotes_do_not_separate(read: Read) -> None:
    found = read('"Time"  "a" "b"\n"2026-01-01 00:00" 1 2\n"2026-01-01 00:01" 3 4\n')
    assert found.delimiter == BLANKS
    assert found.names == ["Time", "a", "b"]
    assert found.rows[1] == ["2026-01-01 00:01", "3", "4"]


@pytest.mark.parametrize("sep", [" ", "\t", ","])
def test_r_gives_no_name_to_the_numbers_of_the_rows(read: Read, sep: str) -> None:
    rows = [["time", "a"], ["1", "2026-01-01", "5"], ["2", "2026-01-02", "6"]]
    found = read("\n".join(sep.join(f'"{cell}"' for cell in row) for row in rows) + "\n")
    assert found.names == ["", "time", "a"]
    assert found.rows == rows[1:]


def test_comments_of_matlab_are_no_table(read: Read) -> None:
    found = read("% Created by Octave 6\n% rows: 2\n%\n1 2 3\n4 5 6\n", header=False)
    assert (found.rows, found.skip) == ([["1", "2", "3"], ["4", "5", "6"]], 3)
    assert read("% time [s]\tp [bar]\n1.5\t2\n2.5\t3\n").names == ["time [s]", "p [bar]"]
    assert read("%time,a\n1,2\n3,4\n").names == ["%time", "a"]


def test_units_in_a_comment_below_the_names_are_no_names(read: Read) -> None:
    rows = "2019 7.5 312 1.2\n2020 8.5 313 1.3\n"
    names = ["YY", "WSPD", "WDIR", "GST"]
    assert read(f"# Buoy\n#YY WSPD WDIR GST\n#yr m/s degT m/s\n{rows}").names == names
    assert read(f"#YY  WSPD WDIR GST\n{rows}").names == names
    assert read(f"# a b c d\n#YY WSPD WDIR GST\n{rows}").names == names  # units differ, too


def test_the_headers_of_labview_are_no_table(read: Read) -> None:
    header = "LabVIEW Measurement\t\nSeparator\tTab\nTime\t10:11:12\n***End_of_Header***\t\n\t\n"
    names = "X_Value\tVoltage\tCurrent\tComment\n"
    found = read(f"{header}Channels\t2\t\t\n***End_of_Header***\t\t\t\n{names}0,1\t2,5\t3,5\n")
    assert found.names == ["X_Value", "Voltage", "Current"]
    assert (found.rows, found.skip) == ([["0,1", "2,5", "3,5"]], 8)


def test_what_a_logger_or_dos_leaves_at_the_end_is_no_row(read: Read) -> None:
    assert read(b"a;b\n1;2\n\x1a\0\0").rows == [["1", "2"]]


def test_of_a_long_file_the_row_that_the_sample_cuts_is_left_out(read: Read) -> None:
    found = read("number;text\n" + "1234;abcdefgh\n" * (SAMPLE_BYTES // 10))
    assert {tuple(row) for row in found.rows} == {("1234", "abcdefgh")}


def test_a_separator_that_fits_most_lines_only_makes_no_table(read: Read) -> None:
    odd = "a;b;c|x\n" + "".join(f"{i};2;3|y\n" if i % 12 else "1|y\n" for i in range(1, 100))
    assert read(odd).delimiter == "|"


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("| asset_id | timestamp        | vib |", "| P 1      | 2026-01-01 00:0{0} | 2.{0} |"),
        ("asset_id ,timestamp       ,vib", "P 1     ,2026-01-01 00:0{0},2.{0}"),
        ("asset_id;        timestamp; vib", "     P 1; 2026-01-01 00:0{0}; 2.{0}"),
    ],
)
def test_blanks_that_set_a_table_in_columns_are_no_part_of_ids(
    load: Load, head: str, line: str
) -> None:
    data = load("\n".join([head, *(line.format(i) for i in range(9))]) + "\n")
    assert [stream.asset_id for stream in data.streams] == ["P 1"]
    assert data.streams[0].values.shape == (9, 1)


def test_blanks_behind_commas_belong_to_the_separator(read: Read) -> None:
    found = read("a, b, c\n1, 2, 3\n")
    assert found.trim
    assert found.names == ["a", "b", "c"]
    assert found.rows == [["1", "2", "3"]]


def test_titles_units_and_a_line_that_names_the_separator_are_no_rows(read: Read) -> None:
    found = read("sep=;\nExport of plant 4\n\na;b;c\nmm/s;bar;rpm\n1;2;3\n4;5;6\n")
    assert (found.delimiter, found.names) == (";", ["a", "b", "c"])
    assert found.rows == [["1", "2", "3"], ["4", "5", "6"]]
    assert found.skip == 5
    assert any("before the line of names" in note for note in found.notes)
    assert any("line of units is left out: mm/s, bar, rpm" in note for note in found.notes)


@pytest.mark.parametrize("separator", [",", ": "])
def test_a_logger_may_describe_itself_and_each_channel_above_the_names(
    read: Read, separator: str
) -> None:
    about = "".join(f"Channel {n}{separator}Thermocouple K\n" for n in range(90))
    rows = "".join(f"2026-01-01 00:{m},{m}.5,2,3\n" for m in range(10, 60)) * 4
    found = read(f"{about}time,temp,flow,rpm\n{rows}")
    assert (found.names, found.skip) == (["time", "temp", "flow", "rpm"], 91)
    assert found.notes == ["90 lines before the line of names are left out"]


def test_a_line_of_names_may_be_longer_than_the_sample(read: Read) -> None:
    names = ["time", *(f"Plant/Area/Line/Machine/{'x' * 40}/TAG_{n}" for n in range(5000))]
    found = read(",".join(names) + "\n" + ("2026-01-01" + ",1.5" * 5000 + "\n") * 3)
    assert found.names == names
    assert len(found.rows) == 3


def test_a_channel_that_is_added_later_does_not_turn_commas_into_blanks(read: Read) -> None:
    rows = [f"2026-01-01 00:{m},{m}.5,2,3" + ",7" * (m >= 30) for m in range(10, 50)]
    found = read("\n".join(["time,temp,flow,rpm", *rows]) + "\n")
    assert (found.delimiter, found.names) == (",", ["time", "temp", "flow", "rpm"])


def test_a_sign_within_each_row_but_not_within_the_names_separates_nothing(read: Read) -> None:
    rows = "".join(f"ns=2;s=P{m % 3},2026-01-01 00:{m},{m}.5\n" for m in range(10, 50))
    found = read(f"NodeId,SourceTimestamp,Value\n{rows}")
    assert (found.delimiter, found.names) == (",", ["NodeId", "SourceTimestamp", "Value"])
    rows = "".join(f"00:{m};{m},5\n" for m in range(10, 50))  # decimal commas
    for title in ("Pump", "Pump, Kiel", "Pump 4"):
        assert read(f"{title}\n\nTime;Temp\n{rows}").delimiter == ";"


def test_titles_with_empty_fields_behind_them_are_no_names(read: Read) -> None:
    found = read(
        "Export of plant 4,,,\nSite:,Kiel,,\n,,,\ntime,temp,flow,rpm\n"
        + "".join(f"2026-01-01 00:{m},{m}.5,2,3\n" for m in range(10, 50))
    )
    assert (found.names, found.skip) == (["time", "temp", "flow", "rpm"], 4)
    assert found.notes == ["3 lines before the line of names are left out"]


def test_names_and_values_of_the_site_stand_above_the_names(read: Read) -> None:
    rows = "".join(f"2026-01-01 00:{m},{m}.5,2,,\n" for m in range(10, 50))
    site = "Source,Site,Zone,Altitude,Unit\nLogger 7,Kiel,1,12,m\n"
    found = read(f"{site}time,temp,flow,,\n{rows}")
    assert (found.names[:3], found.skip) == (["time", "temp", "flow"], 3)
    text = "".join(f"2026-01-01 00:{m},{m}.5,2,,\n" for m in range(10, 20))
    again = read(f"time,temp,flow,a,b\n{text}time,temp,flow,a,b\n{text}")
    assert again.skip == 1  # names within readings are no names
    states = read(f"time,temp,flow,a,b\n{text}no time,bad,trip,x,y\n{text}")
    assert states.skip == 1


@pytest.mark.parametrize(
    "channels",
    [
        "Vendor,X\nCH,Signal,Range,Filter\nCH1,temp,5V,Off\nCH2,flow,5V,Off\nData\n",
        "Name:,X\nChannel,Name,Scale,Gain\n101,temp,False,1\n102,flow,False,1\n\n",
        "Model,X\nTag,,temp,flow\nUnit,C,l/s\n\n",
    ],
    ids=["GRAPHTEC", "Keysight", "Yokogawa"],
)
def test_a_table_of_channels_stands_above_the_names(read: Read, channels: str) -> None:
    rows = "".join(f"{m},2026-01-01 00:00:{m},{m}.5,2\n" for m in [*range(10, 60)] * 3)
    found = read(f"{channels}Number,Time,temp,flow\n{rows}")
    assert found.names == ["Number", "Time", "temp", "flow"]
    first = rows.splitlines(keepends=True)[0]
    second = read(f"Number,Time,temp,flow\n{first}\nNo,Time,rpm,load\n{rows}")
    assert second.names == ["Number", "Time", "temp", "flow"]  # it has readings


@pytest.mark.parametrize("delimiter", [";", ",", " "])
def test_the_last_comment_may_be_the_line_of_names(read: Read, delimiter: str) -> None:
    rows = "".join(delimiter.join((f"{m}", "7.5", "8.25")) + "\n" for m in range(40))
    many = "".join(f"# {n}. comment; of, a kind\n" for n in range(40))
    found = read(f"{many}# {delimiter.join(('t', 'a', 'b'))}\n{rows}")
    assert (found.names, found.skip, len(found.rows)) == (["t", "a", "b"], 41, 40)
    named = read(f"# comment\n{delimiter.join(('t', 'a', 'b'))}\n{rows}")
    assert (named.names, named.skip) == (["t", "a", "b"], 2)
    with pytest.raises(DatasetError, match="--no-header"):
        read(f"# comment\n{rows}")
    assert len(read(f"# comment\n{rows}", header=False).rows) == 40
    assert read("#1 pump;#2 pump\n" + "1;2\n" * 3).names == ["#1 pump", "#2 pump"]


def test_a_first_row_that_is_like_the_second_or_holds_one_word_is_a_row(read: Read) -> None:
    assert read("a;b\nidle;hot\nup;cold\n").rows == [["idle", "hot"], ["up", "cold"]]
    assert read("a;b\nidle;\n1;2\n").rows == [["idle", ""], ["1", "2"]]


def test_without_names_columns_are_numbered_and_no_row_is_lost(read: Read) -> None:
    for text in ("1,2\n3,4\n", "1.5\n2.5\n", "1,5\n"):
        with pytest.raises(DatasetError, match="--no-header"):
            read(text)
    found = read("1,2\n3,4\n", header=False)
    assert (found.names, found.rows, found.skip) == (["1", "2"], [["1", "2"], ["3", "4"]], 0)


@pytest.mark.parametrize(
    "first",
    ["A;2026-01-01 00:00;4.977", "A;1767225600;4.977", "2026-01-01;00:10;49,76", "A;idle;4"],
)
def test_a_first_line_that_is_a_reading_names_no_columns(read: Read, first: str) -> None:
    rows = first.replace("00:00", "00:10") + "\n" + first + "\n"
    with pytest.raises(DatasetError, match=r"first line holds a reading \(.*: --no-header"):
        read(f"{first}\n{rows}")
    assert len(read(f"{first}\n{rows}", header=False).rows) == 3
    assert read(f"asset_id;2;3\n{rows}").names == ["asset_id", "2", "3"]


def test_a_line_of_names_with_a_field_too_many_is_pointed_at(read: Read) -> None:
    with pytest.raises(
        DatasetError, match=r"the line above it \(a, b, c\) has 3 fields instead of 2"
    ):
        read("a;b;c\n2026-01-01;1.5\n2026-01-02;2.5\n2026-01-03;2.5\n")


@pytest.mark.parametrize("start", [0, 1])
def test_a_line_that_counts_the_columns_above_their_names_is_left_out(
    read: Read, start: int
) -> None:
    counts = ",".join(str(i) for i in range(start, start + 3))
    found = read(f"{counts}\nDate ,temp,1_FIT_001\n2026-01-01,1.5,2\n2026-01-02,1.5,3\n")
    assert found.names == ["Date", "temp", "1_FIT_001"]
    assert found.rows == [["2026-01-01", "1.5", "2"], ["2026-01-02", "1.5", "3"]]
    assert found.skip == 2
    assert f"the line that counts the columns ({counts.replace(',', ', ')}) is left out" in (
        found.notes
    )


def test_numbers_that_count_columns_without_names_are_their_names(read: Read) -> None:
    assert read(",0,1\n0,7.5,8\n1,7.5,9\n").names == ["", "0", "1"]
    assert read(",0\n2026-01-01,7.5\n2026-01-02,8.5\n").names == ["", "0"]
    found = read("0,1,2,3,4\n5.5,6,7,8,9\n6.5,6,7,8,9\n")
    assert (found.names, len(found.rows)) == (["0", "1", "2", "3", "4"], 2)
    with pytest.raises(DatasetError, match="--no-header"):
        read("0,1\n5.5,6\n6.5,6\n")  # may be a reading


def test_lines_of_types_and_flags_below_the_names_are_said_once(read: Read) -> None:
    found = read("gym,time,kW\nstring,datetime,float\nS,T,\nA,2026-01-01 00:00,1.5\n")
    assert found.rows == [["A", "2026-01-01 00:00", "1.5"]]
    assert found.skip == 3
    (note,) = found.notes
    assert "2 lines below the names (units, types) are left out: string, datetime, float" in note


def test_no_is_a_name_and_empty_lines_are_no_rows(read: Read) -> None:
    assert read("No,State\n1,run\n2,idle\n").names == ["No", "State"]
    assert read("a,b\n1,2,\n\n3,4,\n5,6,\n").names == ["a", "b", ""]


def test_names_that_are_numbers_are_names_above_other_kinds_of_cells(read: Read) -> None:
    spectrum = "Unit;When;0.5;1.0\n" + "P1;2026-01-01;7.5;8\n" * 3
    assert read(spectrum).names == ["Unit", "When", "0.5", "1.0"]
    both = "P;7;0.5\nP1;9;7.5\n"  # looks like a reading, unless the caller names a column
    assert read(both, columns={"asset_id": "P"}).names == ["P", "7", "0.5"]


def test_a_separator_at_the_end_of_the_line_of_names_loses_no_row(read: Read) -> None:
    found = read("a;b;;\n1;2\n3;4\n")
    assert (found.names, found.rows, found.skip) == (["a", "b"], [["1", "2"], ["3", "4"]], 1)
    assert found.notes == []


def test_a_name_of_two_lines_is_one_name(read: Read) -> None:
    found = read('"Export\nof plant 4"\n\n"a\n[mm/s]";"b\r\n[bar]";c\nmm/s;bar;C\n1;2;3\n4;5;6\n')
    assert found.names == ["a [mm/s]", "b [bar]", "c"]
    assert (found.rows, found.skip) == ([["1", "2", "3"], ["4", "5", "6"]], 7)


def test_a_separator_at_the_end_of_rows_but_not_of_names_is_a_column_of_nothing(
    read: Read,
) -> None:
    assert read("a;b\n1;2;\n3;4;\n").names == ["a", "b", ""]


@pytest.mark.parametrize(
    ("content", "decimal"),
    [
        ("a;b\n1,5;2\n3;4,25\n", ","),
        ("a;b\n1.5;2\n3;4\n", "."),
        ('a,b\n"1,5",2\n3,4\n', ","),
        ('a,b\n"1,234",2.5\n3,4\n', "."),  # a thousand, since a point is a decimal sign elsewhere
        ("a;b\n1;2\n", "."),
    ],
)
def test_the_decimal_sign_is_the_only_one_that_reads_all(
    read: Read, content: str, decimal: str
) -> None:
    assert read(content).decimals.usual == decimal


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"  \n", "is empty"),
        (b"% Weka\n%\n@RELATION plant\n@attribute a numeric\n@data\n1\n2\n", "is an .arff or .ts"),
        (b"a,b\n\x00\x01,2\n", r"line 2 holds the character '\\x00'.* is not text in utf-8"),
        (b"a,b\n1,2\r\n3,\x07\r\n", r"line 3 holds the character '\\x07'"),
    ],
)
def test_what_is_no_table_or_two_is_refused_with_the_files_name(
    read: Read, content: bytes, problem: str
) -> None:
    with pytest.raises(DatasetError, match=f"plant.csv: .*{problem}"):
        read(content)


def test_a_named_encoding_that_does_not_read_the_bytes_is_refused(read: Read) -> None:
    with pytest.raises(DatasetError, match=r"is not utf-8 .* at byte 9"):
        read("a;b\n1;2\n5\xb0C;3\n".encode("latin-1"), encoding="utf-8")
    assert any("read as cp1252" in note for note in read(b"a;b\nK\xfchler;2\n").notes)


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("dd/mm/yyyy hh:mm", "%d/%m/%Y %H:%M"),
        ("TT.MM.JJJJ hh:mm", "%d.%m.%Y %H:%M"),
        ("YYYY-MM-DD hh:mm:ss", "%Y-%m-%d %H:%M:%S"),
    ],
)
def test_a_line_below_the_names_may_say_how_times_are_written(
    load: Load, line: str, form: str
) -> None:
    when = [datetime(2026, 3, day, 8) for day in range(1, 29)]
    rows = "".join(f"{t:{form}},{t.day}.5\n" for t in when)
    data = load(f"timestamp,f\n{line},\n{rows}", asset_id="A")
    assert data.streams[0].timestamps.tolist() == when
    assert any(line in note for note in data.notes)
