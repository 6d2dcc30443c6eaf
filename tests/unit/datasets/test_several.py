"""Folders of files, compressed ones and damaged ones among them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import HEAD, Load, readings, same, table


def damaged(packed: bytes, at: float) -> bytes:
    """Change some bytes, at a share of the whole."""
    start = int(len(packed) * at)
    changed = bytes(byte ^ 0x55 for byte in packed[start : start + 20])
    return packed[:start] + changed + packed[start + 20 :]


def zipped(text: bytes, flag: int = 0, method: int | None = None) -> bytes:
    """A zip of one file whose headers have a flag or say another method of compression."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plant.csv", text)
    raw = bytearray(out.getvalue())
    for at in (6, raw.rfind(b"PK\1\2") + 8):  # of the file, and of the directory
        raw[at] |= flag
        raw[at + 2] = method or raw[at + 2]
    return bytes(raw)


BODY = "".join(f"P1,{i},{i % 7}.{i * i}\n" for i in range(60_000)).encode()

BROKEN = {
    "early.csv.gz": (damaged(gzip.compress(BODY), 0.01), "cannot be decompressed"),
    "late.csv.gz": (damaged(gzip.compress(BODY), 0.9), "cannot be decompressed"),
    "late.csv.bz2": (damaged(bz2.compress(BODY), 0.95), "Invalid data"),
    "late.csv.xz": (damaged(lzma.compress(BODY), 0.9), "cannot be decompressed"),
    "late.zip": (damaged(zipped(BODY), 0.9), "cannot be decompressed"),
    "cut.zip": (zipped(BODY)[:-99], "cannot be decompressed"),
    "secret.zip": (zipped(BODY, flag=1), "is encrypted: unpack it first"),
    "deflate64.zip": (zipped(BODY, method=9), "cannot be decompressed .*: unpack it first"),
    "mark.csv": (b"\xef\xbb\xbf", "is empty"),
    "mark16.csv": (b"\xff\xfe", "is empty"),
    "zeros.csv": (bytes(600), "is empty"),
    "sep.csv": (b"sep=\n\n\n", "holds no rows"),
    "quote.csv": (b'a,b,c\n"' + b"1,2,3\n" * 50_000, "a quote does not close"),
}


@pytest.mark.parametrize(("name", "content", "reason"), [(n, *b) for n, b in BROKEN.items()],
                         ids=BROKEN)  # fmt: skip
def test_no_broken_file_stops_a_folder(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    form = FileFormat(time_unit="s", header=False, columns={"asset_id": "1", "timestamp": "2"})
    form = form if content[:2] in (b"\x1f\x8b", b"BZ", b"\xfd7", b"PK") else FileFormat()
    with pytest.raises(DatasetError, match=rf"^{re.escape(name)}: .*{reason}"):
        datasets.load(tmp_path / name, None, form)
    good = f"{HEAD}\n" if form == FileFormat() else ""
    (tmp_path / "good.csv").write_text(good + ("P1,2026-01-01,1,2,3\n" if good else "P1,1,2\n"))
    data = datasets.load_files(datasets.files_of(str(tmp_path)), None, form)
    assert [stream.asset_id for stream in data.streams] == ["P1"]
    assert any(name in note and "left out" in note for note in data.notes)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst", "zip"])
def test_compressed_text(tmp_path: Path, suffix: str) -> None:
    values = readings()
    text = table(values).encode()
    path = tmp_path / f"plant.csv.{suffix}"
    if suffix == "zst":
        with pa.output_stream(str(path), compression="zstd") as file:
            file.write(text)
    elif suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("plant.csv", text)
    else:
        packed = {"gz": gzip.compress(text), "bz2": bz2.compress(text), "xz": lzma.compress(text)}
        path.write_bytes(packed[suffix])
    same(datasets.load(path), values)


def test_a_broken_archive_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv.gz"
    path.write_bytes(gzip.compress(table(readings(5000)).encode())[:-2000])
    with pytest.raises(DatasetError, match=r"plant\.csv\.gz"):
        datasets.load(path)


def test_exact_repetitions_count_once_and_equal_times_stay(load: Load) -> None:
    rows = [
        "A,2026-01-01,1,2",
        "A,2026-01-01,1,3",
        "A,2026-01-01,1,2",
        "A,2026-01-02,,2",
        "A,2026-01-02,,2",
    ]
    data = load("\n".join(["asset_id,timestamp,f,g", *rows]))
    expected = [[1, 2], [1, 3], [np.nan, 2]]
    np.testing.assert_array_equal(data.streams[0].values, expected)
    assert "2 readings occur twice (time and values): counted once" in data.notes
    assert data.streams[0].rows is not None
    assert data.streams[0].rows.tolist() == [1, 2, 4]


def test_a_folder_of_files_is_an_asset_each(tmp_path: Path) -> None:
    for name in ("pump_1.csv", "pump_2.csv"):
        head, rest = "timestamp,vib,temp,flow", table(readings(), head=None).replace("P1,", "")
        (tmp_path / name).write_text(head + "\n" + rest)
    (tmp_path / "notes.md").write_text("nothing")
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert [s.asset_id for s in data.streams] == ["pump_1", "pump_2"]


def test_what_a_folder_holds_beside_files_is_said(tmp_path: Path) -> None:
    month = tmp_path / "2026-02"
    month.mkdir()
    (month / "a.csv").write_text(table(readings()))
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DatasetError, match=r"holds no .*; left out: the files in 2026-02: "):
        datasets.files_of(str(tmp_path))
    (tmp_path / "b.csv").write_text(table(readings()))
    (tmp_path / "c.csv").symlink_to(tmp_path / "archive" / "c.csv")
    first, second = datasets.not_read(str(tmp_path))
    assert first == "left out: c.csv: a link to a file that does not exist"
    assert f"--data '{tmp_path}/**/*.csv' reads them too" in second
    assert len(datasets.files_of(f"{tmp_path}/**/*.csv")) == 2
    assert datasets.not_read(str(month)) == datasets.not_read(str(month / "a.csv")) == []
    with pytest.raises(DatasetError, match="no file is named"):
        datasets.files_of("")


def test_overlapping_exports_count_once(tmp_path: Path) -> None:
    lines = table(readings(100)).split("\r\n")[:-1]
    (tmp_path / "a.csv").write_text("\n".join(lines[:71]) + "\n")
    (tmp_path / "b.csv").write_text("\n".join([lines[0], *lines[51:]]) + "\n")
    data = datasets.load_files(datasets.files_of(str(tmp_path / "*.csv")))
    np.testing.assert_array_equal(data.streams[0].values, readings(100))
    assert any("20 readings occur in more than one file" in note for note in data.notes)


def test_a_bad_file_among_good_ones_is_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(readings()))
    (tmp_path / "b.csv").write_text("nothing of use\n")
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert len(data.streams) == 1
    assert any("left out" in note and "b.csv" in note for note in data.notes)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(DatasetError, match=r"b\.csv"):
        datasets.load_files(datasets.files_of(str(tmp_path)))


def _folder(tmp_path: Path, *files: str) -> Path:
    for number, text in enumerate(files):
        (tmp_path / f"{number}.csv").write_text(text)
    return tmp_path


def _day(day: int, unit: str, head: str = "", asset: str = "P1") -> str:
    rows = (f"{asset},2026-01-{day:02d} {i:02d}:00,{20 + i}{unit},{i}" for i in range(24))
    return f"asset_id,timestamp,temp,flow\n{head}" + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_day(1, " °C"), _day(2, " °F")), (_day(1, " bar"), _day(2, " mbar")),
        (_day(1, "", ",,°C,m³/h\n"), _day(2, "", ",,°F,m³/h\n")),
        (_day(1, " °C"), _day(2, "", "Type,,float,float\nUnit,,[F],l/h\n")),
    ],
)  # fmt: skip
def test_files_of_one_stream_in_different_units_are_refused(
    tmp_path: Path, first: str, second: str
) -> None:
    with pytest.raises(DatasetError, match=r"temp: in .* in 0\.csv, in .* in 1\.csv: convert"):
        datasets.load_files(datasets.files_of(str(_folder(tmp_path, first, second))))
    without = FileFormat(exclude="temp")
    data = datasets.load_files(datasets.files_of(str(tmp_path)), form=without)
    assert data.streams[0].values.shape == (48, 1)


def test_assets_in_different_units_are_told(tmp_path: Path) -> None:
    folder = _folder(tmp_path, _day(1, " bar"), _day(1, " mbar", asset="P2"))
    data = datasets.load_files(datasets.files_of(str(folder)))
    assert "temp: in 'bar' in 0.csv, in 'mbar' in 1.csv; the values are used as they are" in (
        data.notes
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_day(1, " °C"), _day(2, " C")), (_day(1, " °C"), _day(2, "")),
        (_day(1, "", ",,°C,m³/h\n"), _day(2, "", ",,C,m³/h\n")),
        (_day(1, "", ",,°C,m³/h\n"), _day(2, "", "text,,°C,float\n")),
    ],
)  # fmt: skip
def test_files_in_the_same_units_are_joined(tmp_path: Path, first: str, second: str) -> None:
    data = datasets.load_files(datasets.files_of(str(_folder(tmp_path, first, second))))
    assert data.streams[0].values.shape == (48, 2)
    assert not any("as they are" in note for note in data.notes)


def test_names_with_two_units_are_not_said_to_be_one_feature(tmp_path: Path) -> None:
    days = [_day(n, "").replace("temp", f"temp [{unit}]") for n, unit in ((1, "°C"), (2, "°F"))]
    data = datasets.load_files(datasets.files_of(str(_folder(tmp_path, *days))))
    (note,) = (note for note in data.notes if "not in each of the files" in note)
    assert note.endswith("are one feature, convert one and give both one name)")


@pytest.mark.parametrize(("other", "hint"), [("Temp", 1), ("temp [°C]", 1), ("rpm", 0)])
def test_names_of_what_may_be_one_feature_are_told(tmp_path: Path, other: str, hint: int) -> None:
    folder = _folder(tmp_path, _day(1, ""), _day(2, "").replace("temp", other))
    data = datasets.load_files(datasets.files_of(str(folder)))
    (note,) = (note for note in data.notes if "not in each of the files" in note)
    assert note.startswith(f"temp, {other}: ")
    assert note.endswith(f"(if 'temp' and {other!r} are one feature, give it one name)") == hint


def test_files_with_and_without_an_offset_are_told(tmp_path: Path) -> None:
    folder = _folder(tmp_path, _day(1, ""), _day(2, "").replace(":00,", ":00+01:00,"), _day(3, ""))
    data = datasets.load_files(datasets.files_of(str(folder)))
    told = "the times of 0.csv and 1 more have no offset, those of 1.csv have one: read in "
    assert f"{told}UTC (--time-zone names another)" in data.notes
    berlin = FileFormat(time_zone="Europe/Berlin")
    data = datasets.load_files(datasets.files_of(str(folder)), form=berlin)
    assert f"{told}Europe/Berlin" in data.notes
    assert (np.diff(data.streams[0].timestamps) == np.timedelta64(1, "h")).all()
    for number in range(3):
        text = _day(number + 1, "").replace("timestamp", "Time (UTC+1)" if number else "timestamp")
        (folder / f"{number}.csv").write_text(text)
    data = datasets.load_files(datasets.files_of(str(folder)))
    assert any("of 0.csv have no offset, those of 1.csv and 1 more" in note for note in data.notes)
    (folder / "0.csv").unlink()
    data = datasets.load_files(datasets.files_of(str(folder)))
    assert not any("have no offset" in note for note in data.notes)


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        (["1"] * 24, ["-1"] * 9 + ["1"] * 15, [0] * 24 + [1] * 9 + [0] * 15),
        (["1"] * 22 + ["-1"] * 2, ["-1"] * 14 + ["1"] * 10, [0] * 22 + [1] * 16 + [0] * 10),
        (["normal"] * 24, ["bearing"] * 24, [0] * 24 + [1] * 24),
        (["0"] * 24, ["1"] * 24, [0] * 24 + [1] * 24),
    ],
)
def test_all_files_together_tell_what_their_labels_mean(
    tmp_path: Path, first: list[str], second: list[str], labels: list[int]
) -> None:
    texts = []
    for day, some in ((1, first), (2, second)):
        head, *rows = _day(day, "").splitlines()
        body = (f"{row},{label}" for row, label in zip(rows, some, strict=True))
        texts.append("\n".join([f"{head},label", *body]) + "\n")
    data = datasets.load_files(datasets.files_of(str(_folder(tmp_path, *texts))))
    assert data.streams[0].labels is not None
    assert data.streams[0].labels.tolist() == labels
    assert sum("rarer one is the fault" in note for note in data.notes) == (first[0] == "1")


def test_a_file_of_an_unknown_suffix_is_what_it_holds(tmp_path: Path) -> None:
    names = ("bearing.data", "2004.02.12.10.32.39", "bearing.lvm")
    for name in names:
        (tmp_path / name).write_text(table(readings()))
        data = datasets.load(tmp_path / name)
        same(data, readings())
        assert "has the suffix of no known format: read as text" in data.notes
    (tmp_path / "bearing.log").write_text('{"asset_id": "P1", "timestamp": "2026-01-01", "f": 1}\n')
    assert datasets.load(tmp_path / "bearing.log").feature_names == ["f"]
    (tmp_path / "picture.png").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(DatasetError, match=r"^picture\.png: has the suffix of no known format: "):
        datasets.load(tmp_path / "picture.png")
    hint = re.escape(f"(--data '{tmp_path}/*' reads files of other names as text)")
    with pytest.raises(DatasetError, match=hint):
        datasets.files_of(str(tmp_path))
    data = datasets.load_files(datasets.files_of(f"{tmp_path}/*"))
    assert any(note.startswith("left out: picture.png: ") for note in data.notes)


def test_a_file_without_the_column_of_labels_is_read_if_another_has_it(tmp_path: Path) -> None:
    def write(name: str, head: str, day: int, label: str) -> None:
        rows = [f"2026-01-0{day} 00:{n:02d},{n / 8}{label}\n" for n in range(20)]
        (tmp_path / name).write_text(f"timestamp,temp{head}\n" + "".join(rows))

    write("normal.csv", "", 1, "")
    write("test.csv", ",event", 2, ",1")
    form = FileFormat(asset_id="P1", label="event")
    data = datasets.load_files(datasets.files_of(str(tmp_path)), form=form)
    (stream,) = data.streams
    assert stream.labels is not None
    assert stream.labels.tolist() == [-1] * 20 + [1] * 20
    assert "normal.csv: has no column 'event': no reading has a label" in data.notes
    form = FileFormat(asset_id="P1", label="evnt")
    with pytest.raises(DatasetError, match=r"normal.csv: --label: column 'evnt' is missing"):
        datasets.load_files(datasets.files_of(str(tmp_path)), form=form)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("Event", "left out: a.csv: --label: column 'event' is missing (did you mean 'Event'?)"),
        ("anomaly", "left out: a.csv: --label: column 'event' is missing"),
        ("vent", "a.csv: has no column 'event': no reading has a label"),
    ],
)
def test_a_file_whose_labels_have_another_name_is_left_out(
    tmp_path: Path, head: str, told: str
) -> None:
    for name, column, day in (("a.csv", head, 1), ("b.csv", "event", 2)):
        rows = [f"2026-01-0{day} 00:{n:02d},{n / 8},{n % 2}\n" for n in range(20)]
        (tmp_path / name).write_text(f"timestamp,temp,{column}\n" + "".join(rows))
    form = FileFormat(asset_id="P1", label="event")
    data = datasets.load_files(datasets.files_of(str(tmp_path)), form=form)
    assert "Event" not in data.feature_names
    assert any(note.split(";")[0] == told for note in data.notes), data.notes
