"""Options for reading a file, shared by every command.

Each field is a command-line option (:func:`add_format_arguments`). Options that are not given are
recognised from the file if it is unambiguous.
"""

from __future__ import annotations

import argparse
import codecs
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from datasets.times.epochs import EPOCHS
from errors import DatasetError, MissingColumn

#: Roles of columns besides features.
ROLES = ("asset_id", "sensor_id", "timestamp", "label")
#: Ticks per second of times counted from 1970; ``row`` counts readings instead.
TIME_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
ROW = "row"
#: What a file of several holds: an asset of its own, or a feature of the asset that all share.
ASSET, FEATURE = "asset", "feature"
#: Delimiter that stands for any run of blanks and tabs.
BLANKS = " "
#: Options whose values become fields unchanged.
_AS_GIVEN = (
    "asset_id", "label", "pivot", "time_format", "time_zone", "time_unit", "decimal", "encoding",
    "sheet", "one_file_per", "drop_far_times",
)  # fmt: skip
#: Options that are not called as their fields.
_OPTIONS: Final = {"header": "--no-header"}
#: A field of a time format, as strptime knows them.
_TIME_FIELD: Final = re.compile(r"%[aAbBdfGHIjmMpSuUVwWyYzZ%]")
_DATE_FIELDS: Final = frozenset(f"%{letter}" for letter in "dmjbByYGUWV")
_YEAR_FIELDS: Final = frozenset(("%y", "%Y", "%G"))
#: Characters of the names in a message, at most.
_SHOWN: Final = 300
_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": BLANKS, "comma": ",", "semicolon": ";"}


@dataclass(frozen=True, slots=True)
class FileFormat:
    """What the caller knows about a file; every field is optional.

    Parameters
    ----------
    columns : role -> column name, or two names joined by ``+`` (``timestamp``: Date+Time).
    asset_id : the asset id, if the file has no column of assets.
    label : the column of labels; short for the role in ``columns``.
    pivot : the column that names the sensors of a long table, which become features.
    exclude : columns to leave out, as typed (``a,b``) or as a list.
    time_format : strptime format of the times.
    time_zone : IANA zone of times without an offset; None: UTC.
    time_unit : s, ms, us, ns: times count from 1970; one of EPOCHS: from another beginning; row:
        they count readings.
    decimal, delimiter, encoding : of text files.
    sheet : the sheet of a workbook, several as typed (``Jan,Feb``), or ``all``; None: the first
        that has a table, and those with the same columns.
    one_file_per : asset; or feature: each file is a sensor, and all are joined by time.
    drop_far_times : whether times that are years from all others are left out, however many.
    null : values that mean "not measured", as text.
    header : whether the first line of a text file names the columns.

    Raises
    ------
    DatasetError
        Names the invalid option.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    asset_id: str | None = None
    label: str | None = None
    pivot: str | None = None
    exclude: str | Sequence[str] = ()
    time_format: str | None = None
    time_zone: str | None = None
    time_unit: str | None = None
    decimal: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    one_file_per: str = ASSET
    drop_far_times: bool = False
    null: Sequence[str] = ()
    header: bool = True

    def __post_init__(self) -> None:
        """Check the fields."""
        for role in self.columns:
            if role not in ROLES:
                raise _wrong("columns", f"{role!r} is not one of {', '.join(ROLES)}")
        if self.decimal not in (None, ".", ","):
            raise _wrong("decimal", f"{self.decimal!r} is neither . nor ,")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise _wrong("delimiter", f"{self.delimiter!r} is not one character")
        if self.delimiter is not None and self.delimiter == self.decimal:
            raise _wrong("delimiter", f"{self.delimiter!r} is also the decimal sign")
        if self.one_file_per not in (ASSET, FEATURE):
            raise _wrong("one-file-per", f"{self.one_file_per!r} is neither asset nor feature")
        units = (*TIME_UNITS, ROW, *EPOCHS)
        if self.time_unit not in (None, *units):
            raise _wrong("time-unit", f"{self.time_unit!r} is not one of {', '.join(units)}")
        if self.time_format is not None and self.time_unit is not None:
            raise _wrong("time-format", "cannot be combined with --time-unit")
        if self.label is not None and self.columns.get("label", self.label) != self.label:
            raise _wrong("label", f"{self.label!r} differs from --columns label=...")
        if self.asset_id is not None and "asset_id" in self.columns:
            raise _wrong("asset-id", "cannot be combined with --columns asset_id=...")
        if self.pivot is not None and "sensor_id" in self.columns:
            raise _wrong("pivot", "cannot be combined with --columns sensor_id=...")
        self._check_known()

    def _check_known(self) -> None:
        if self.time_format is not None:
            _check_time_format(self.time_format)
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise _wrong("encoding", f"{self.encoding!r} is not known") from None
        if self.time_zone is not None:
            try:
                ZoneInfo(self.time_zone)
            except (KeyError, ValueError, OSError):
                raise _wrong(
                    "time-zone",
                    f"{self.time_zone!r} is no IANA zone such as Europe/Berlin, or Etc/GMT-1 for"
                    " UTC+1 all year",
                ) from None

    def role(self, name: str) -> str | None:
        """Return the column given for a role; None if none was given."""
        if name == "label" and self.label is not None:
            return self.label
        if name == "sensor_id" and self.pivot is not None:
            return self.pivot
        return self.columns.get(name)

    def without_label(self) -> FileFormat:
        """Return the format of a file that lacks the column of labels."""
        columns = {role: name for role, name in self.columns.items() if role != "label"}
        return replace(self, label=None, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, ready for JSON."""
        default = asdict(FileFormat())
        return {key: value for key, value in asdict(self).items() if value != default[key]}

    def options(self) -> dict[str, str]:
        """Return the options that set fields, by the field's name."""
        given = {key for key, value in self.to_dict().items() if value or key == "header"}
        return {key: _OPTIONS.get(key, f"--{key.replace('_', '-')}") for key in sorted(given)}

    def ignored(self, kind: str, *fields: str) -> list[str]:
        """Return a note if options are given that mean nothing for a kind of file.

        Parameters
        ----------
        kind
            What the file is, with its article.
        *fields
            The fields without meaning.
        """
        given = [option for key, option in self.options().items() if key in fields]
        verb = "mean" if len(given) > 1 else "means"
        return [f"{', '.join(given)} {verb} nothing for {kind}: ignored"] if given else []


def _check_time_format(form: str) -> None:
    fields = _TIME_FIELD.findall(form)
    if not fields or "%" in _TIME_FIELD.sub("", form):
        raise _wrong("time-format", f"{form!r} is no format such as %d.%m.%Y %H:%M")
    for part, needed, lost in (
        ("Date", _DATE_FIELDS, "date, so all days would be one"),
        ("Year", _YEAR_FIELDS, "year, so all readings would be of 1900"),
    ):
        if not needed.intersection(fields):
            raise _wrong(
                "time-format",
                f"{form!r} has no {lost}: --columns timestamp={part}+Time joins it from another"
                " column, --time-unit row counts the readings instead",
            )
    if twice := next((field for field in fields if fields.count(field) > 1), None):
        raise _wrong("time-format", f"{form!r} has {twice} twice")
    import pandas as pd  # imported late: it takes 40 MB, and most files do not need it

    try:
        pd.to_datetime([""], format=form, errors="coerce")
    except ValueError as error:  # weeks without days of the week, for instance
        raise _wrong("time-format", f"{form!r} cannot be read: {error}") from None


def add_format_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for reading a file."""
    group = parser.add_argument_group(
        "files (unambiguous formats are recognised and reported; these options resolve the rest)"
    )
    group.add_argument(
        "--columns", metavar="ROLE=COLUMN,...",
        help="which column is asset_id, sensor_id, timestamp, label; timestamp=Date+Time joins two",
    )  # fmt: skip
    group.add_argument("--asset-id", metavar="NAME", help="the asset id, if no column holds it")
    group.add_argument("--label", metavar="COLUMN", help="the column of labels (label)")
    group.add_argument(
        "--pivot", metavar="COLUMN",
        help="the file has one value per row; this column names the feature",
    )  # fmt: skip
    group.add_argument(
        "--one-file-per", choices=(ASSET, FEATURE), default=ASSET,
        help="what each of several files holds; features are joined by time (asset)",
    )  # fmt: skip
    group.add_argument("--exclude", metavar="COLUMN,...", help="columns to leave out")
    group.add_argument(
        "--time-format", metavar="FORMAT", help="time format, such as %%d.%%m.%%Y %%H:%%M"
    )
    group.add_argument(
        "--time-zone", metavar="ZONE",
        help="zone of times without an offset, such as Europe/Berlin (UTC)",
    )  # fmt: skip
    group.add_argument(
        "--time-unit", choices=(*TIME_UNITS, ROW, *EPOCHS),
        help="times are numbers: since 1970 in this unit, a count of readings (row), or what"
        " another program counts (matlab, excel, ...)",
    )  # fmt: skip
    group.add_argument(
        "--drop-far-times", action="store_true",
        help="leave out readings dated years from all others, such as 1970, however many",
    )  # fmt: skip
    group.add_argument("--decimal", metavar="SIGN", help="decimal sign: . or ,")
    group.add_argument("--delimiter", metavar="SIGN", help="field separator, also: tab, space")
    group.add_argument("--encoding", metavar="NAME", help="text encoding, such as cp1252 (utf-8)")
    group.add_argument(
        "--sheet", metavar="NAME,...",
        help="the workbook's sheets, or all (the first with a table, and those with its columns)",
    )  # fmt: skip
    group.add_argument(
        "--null", action="append", default=[], metavar="VALUE,...",
        help="values that mean 'not measured' (--null -200,-999)",
    )  # fmt: skip
    group.add_argument("--no-header", action="store_true",
                       help="the file has no line of names; columns are 1, 2, ...")  # fmt: skip


def format_of(arguments: argparse.Namespace) -> FileFormat:
    """Return the options of :func:`add_format_arguments` as one object.

    Raises
    ------
    DatasetError
        Names the invalid option.
    """
    delimiter = arguments.delimiter
    return FileFormat(
        columns=parse_roles(arguments.columns or ""),
        exclude=arguments.exclude or (),
        delimiter=_DELIMITERS.get(delimiter, delimiter) if delimiter else None,
        null=[value.strip() for text in arguments.null for value in text.split(",")],
        header=not arguments.no_header,
        **{name: getattr(arguments, name) for name in _AS_GIVEN},
    )


def parse_roles(text: str) -> dict[str, str]:
    """Parse ``asset_id=Unit,timestamp="Date/Time"``; names may contain commas.

    Raises
    ------
    DatasetError
        The text is not such a list.
    """
    parts = re.split(r"(?:^|,)\s*(\w+)=", text)
    if parts[0].strip():
        raise _wrong("columns", f"{text!r} is not ROLE=COLUMN,...")
    out: dict[str, str] = {}
    for role, name in zip(parts[1::2], parts[2::2], strict=True):
        if role not in ROLES:
            raise _wrong("columns", f"{role!r} is not one of {', '.join(ROLES)}")
        if role in out:
            raise _wrong("columns", f"{role} is given twice: {out[role]!r} and {_unquoted(name)!r}")
        out[role] = _unquoted(name)
    return out


def names_in(given: str | Sequence[str], columns: Sequence[str], option: str) -> list[str]:
    """Return the columns named in a list, or in a text ``a,b`` whose names may contain commas.

    A column that is named twice is returned once.

    Parameters
    ----------
    given
        A list, or a text as typed.
    columns
        All column names.
    option
        Names the option in the error, unless empty.

    Raises
    ------
    DatasetError
        Names an entry that is not a column.
    """
    if not isinstance(given, str):
        missing = next((name for name in given if name not in columns), None)
        if missing is not None:
            raise _no_column(missing, columns, option)
        return list(dict.fromkeys(given))
    parts = given.split(",")
    out: list[str] = []
    while parts:
        for size in range(len(parts), 0, -1):
            name = _unquoted(",".join(parts[:size]))
            if name in columns:
                out.append(name)
                del parts[:size]
                break
        else:
            raise _no_column(_unquoted(parts[0]), columns, option)
    return list(dict.fromkeys(out))


def quoted(name: str) -> str:
    """Return a column name as it can be typed in an option."""
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _no_column(name: str, columns: Sequence[str], option: str) -> MissingColumn:
    has = ", ".join(columns)
    shown = has if len(has) <= _SHOWN else f"{has[:_SHOWN]} ..."
    where = f"--{option}: " if option else ""
    near = _alike(name, columns)
    meant = f" (did you mean {near!r}?)" if near else ""
    said = f"{where}column {name!r} is missing{meant}; it has {shown}"
    return MissingColumn(said, name=name, meant=near)


def _alike(name: str, columns: Sequence[str]) -> str | None:
    """Return the column whose name is most like ``name``, in whatever case, if any is."""
    known = {column.strip().casefold(): column for column in columns if column.strip()}
    near = difflib.get_close_matches(name.strip().casefold(), known, n=1)
    return known[near[0]] if near else None


def _wrong(option: str, what: str) -> DatasetError:
    return DatasetError(f"--{option}: {what}", field=option)
