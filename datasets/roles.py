"""Find the role of each column of a file: asset, sensor, time, label, group, feature or none."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from datasets.decimals import Decimals
from datasets.format import ROW, FileFormat, names_in, quoted
from datasets.labels import is_label, may_be_label
from datasets.long_tables import (
    names_machines,
    names_sensors,
    names_values,
    several,
    tells_apart,
)
from datasets.numbers import is_number, missing
from datasets.survey import Survey
from datasets.time_formats import dates_only, is_date, is_time
from datasets.time_of_day import kinds_of, many_share, may_be_time, says_time, written
from datasets.units import bare, mixed_scales, unit_of
from datasets.unreadable import ONE_OF
from errors import DatasetError
from schemas import check_name

_ASSET: Final = frozenset(("assetid", "asset"))
_SENSOR: Final = frozenset(("sensorid",))
_TIME: Final = frozenset(
    ("timestamp", "datetime", "dateandtime", "datetimeutc", "timestamputc", "time", "date", "ts",
     "zeit", "zeitstempel", "datum", "datumzeit", "datumuhrzeit", "uhrzeit", "horodatage", "fecha",
     "fechahora", "epoch", "unixtime")
)  # fmt: skip
#: A number that is not whole.
_FRACTION: Final = re.compile(r"[+-]?\d*[.,]\d*[1-9]\d*(?:[eE][+-]?\d+)?")
#: Names that people and libraries give to row numbers.
_ROW_NUMBER: Final = re.compile(
    r"|unnamed: ?\d+|__index_level_\d+__|index|level_\d+|row|rows|row[ _]?(?:id|no|nr|num|number)|"
    r"id|#|nr\.?|no\.?|line|record|x",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Roles:
    """Indices of a file's columns by role.

    ``names`` are the names of ``features``. ``asset_name`` is the asset id if there is no column of
    assets. ``units`` holds the units of features whose cells include them. ``time_kinds`` is what
    numbers in the second of two ``times`` may mean, the most likely first; empty for texts.
    ``dates_only`` is set if the times are dates that the caller did not name.
    """

    asset: int | None = None
    asset_name: str = ""
    sensor: int | None = None
    times: tuple[int, ...] = ()
    label: int | None = None
    group: int | None = None
    features: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    excluded: set[int] = field(default_factory=set)
    time_kinds: list[str] = field(default_factory=list)
    dates_only: bool = False

    @property
    def time_kind(self) -> str:
        """Return what the numbers of a column of times of day mean; empty for texts."""
        return self.time_kinds[0] if self.time_kinds else ""

    def used(self) -> list[int]:
        """Return the indices of all columns to read, in the file's order."""
        one = [p for p in (self.asset, self.sensor, self.label, self.group) if p is not None]
        return sorted({*one, *self.times, *self.features})


@dataclass(slots=True)
class Columns:
    """A file's columns before its rows are read.

    Parameters
    ----------
    file : the file's name, for messages.
    names : column names as in the file; may be empty.
    cells : the first cells of each column, stripped.
    timed : indices of columns with a time type (Parquet).
    decimals : the columns' decimal signs.
    nested : indices of columns of lists, structures or bytes (Parquet).
    nulls : the caller's texts for "not measured", in lower case.
    look : looks through the whole file, given the columns of the stream, the time and others.
    """

    file: str
    names: list[str]
    cells: list[list[str]]
    timed: frozenset[int] = frozenset()
    decimals: Decimals = field(default_factory=Decimals)
    nested: frozenset[int] = frozenset()
    nulls: frozenset[str] = frozenset()
    look: Callable[[Sequence[int], Sequence[int], Sequence[int]], Survey] | None = None
    seen: Survey = field(default_factory=Survey)

    def filled(self, index: int, everywhere: bool = False) -> list[str]:
        """Return the cells of a column that are not missing: the first, or from everywhere."""
        cells = [*self.cells[index], *(self.seen.spread.get(index, ()) if everywhere else ())]
        return [cell for cell in cells if not missing(cell) and cell.casefold() not in self.nulls]

    def look_through(self, streams: Sequence[int], times: Sequence[int], others: set[int]) -> None:
        """Look through the whole file for what its first rows do not show.

        Parameters
        ----------
        streams, times
            The columns of asset and sensor, and of the time.
        others
            Columns of other roles, which need not be looked at.
        """
        open_ = [
            index for index in range(len(self.names))
            if index not in {*streams, *times, *others, *self.nested, *self.timed}
            and not any(map(_FRACTION.fullmatch, self.cells[index]))
        ]  # fmt: skip
        if not open_:
            return
        if self.look is not None:
            self.seen = self.look(streams, times, open_)
            self.decimals.add({i: bare(list(cells)) for i, cells in self.seen.separated.items()})
        else:
            first = {index: self.cells[index] for index in (*streams, *times, *open_)}
            self.seen = Survey(first, first)

    def index(self, name: str, option: str = "") -> int:
        """Return the index of the column with a name, which must occur once."""
        names_in([name], self.names, option)
        self.once(name)
        return self.names.index(name)

    def once(self, name: str) -> None:
        """Raise an error if several columns have this name."""
        if self.names.count(name) > 1:
            raise DatasetError(
                f"column {name!r} appears twice: --exclude {name!r} leaves both out", field=name
            )

    def like(self, known: frozenset[str]) -> list[int]:
        """Return the columns whose names, in lower case without punctuation, are in ``known``."""
        return [i for i, name in enumerate(self.names) if _bare(name) in known]


def find_roles(
    columns: Columns,
    form: FileFormat,
    wanted: str | Sequence[str] | None = None,
    group: str | None = None,
    asset: str | None = None,
) -> Roles:
    """Find the role of each column.

    Parameters
    ----------
    columns : Columns
    form : FileFormat
        Format options given by the caller.
    wanted : str or sequence of str, optional
        The features; None: all columns that can be features.
    group : str, optional
        Column whose values name groups; it is not a feature.
    asset : str, optional
        Asset id, if neither the file nor the caller gives one.

    Raises
    ------
    DatasetError
        A required column is missing or ambiguous; the message names the option that helps.
    """
    for name in filter(None, columns.names):
        check_name(name, "column")
    excluded = names_in(form.exclude, columns.names, "exclude") if form.exclude else []
    roles = Roles(excluded={i for i, name in enumerate(columns.names) if name in excluded})
    _asset(columns, form, asset, roles)
    roles.sensor = _named(columns, form, "sensor_id", _SENSOR, roles)
    _times(columns, form, roles)
    if group is not None:
        roles.group = columns.index(group)
    columns.look_through(_keys(roles), roles.times, {*roles.excluded, *_given(roles.group)})
    wished = [] if wanted is None else _wished(columns, wanted)
    _label(columns, form, roles, wished)
    if wanted is None:
        _check_scales(
            columns,
            [i for i in range(len(columns.names)) if i not in (*roles.used(), *roles.excluded)],
        )
        taken = {*roles.used(), *roles.excluded}
        roles.features = _features(columns, taken, roles.notes)
    else:
        roles.features = wished
        _check_scales(columns, roles.features)
    roles.names = [columns.names[index] for index in roles.features]
    for index, name in zip(roles.features, roles.names, strict=True):
        if unit := unit_of(columns.filled(index) or columns.filled(index, everywhere=True)):
            roles.units[name] = unit
            roles.notes.append(f"column {name!r} holds {unit!r} after each number: read without it")
    for name in roles.names:
        columns.once(name)
    _signs(columns, roles)
    _check_machines(columns, form, roles, wished)
    _check_long(columns, roles, wished)
    _check_dates(columns, form, roles)
    if not roles.names:
        why = "".join(f"; {note}" for note in roles.notes)[:300]
        raise DatasetError(f"no feature column{why}", field="features")
    return roles


def _check_scales(columns: Columns, features: Sequence[int]) -> None:
    """Reject columns whose numbers are scaled differently, such as 1.2 K and 998."""
    for index in features:
        if (found := mixed_scales(columns.filled(index))) is not None:
            name = columns.names[index]
            raise DatasetError(
                f"column {name!r} holds {found[0]!r} and {found[1]!r}, which are not in the same"
                f" unit: --exclude {name!r} leaves the column out",
                field=name,
            )


def _signs(columns: Columns, roles: Roles) -> None:
    """Say which features have decimal commas or separated thousands, and reject unclear ones."""
    decimals = columns.decimals
    for index, name in zip(roles.features, roles.names, strict=True):
        if index in decimals.problems:
            raise DatasetError(
                f"column {name!r}: {decimals.problems[index]}: --decimal . or --decimal , gives the"
                " decimal sign",
                field="decimal",
            )
    commas = [name for index, name in zip(roles.features, roles.names, strict=True)
              if decimals.sign(index) == "," != decimals.given
              and index not in decimals.thousands]  # fmt: skip
    if commas:
        rest = any(decimals.sign(index) != "," for index in roles.features)
        which = f"{', '.join(commas)[:200]}: " if rest else ""
        roles.notes.append(f"{which}numbers are read with decimal commas")
    for index, name in zip(roles.features, roles.names, strict=True):
        if index in decimals.thousands and decimals.given is None:
            cell = decimals.thousands[index]
            plain = re.sub(r"[.,]", "", cell)
            roles.notes.append(f"column {name!r} separates thousands: {cell!r} is read as {plain}")


def _check_long(columns: Columns, roles: Roles, wished: Sequence[int]) -> None:
    """Reject a long table, which has one row per time and name instead of one column per name."""
    seen = columns.seen
    rows = _rows(seen.at_first_times, [*_keys(roles), *roles.times])
    streams = _rows(seen.spread, _keys(roles))
    values = any(names_values(_bare(columns.names[index])) for index in roles.features)
    kept = {
        *wished,
        *roles.excluded,
        *_keys(roles),
        *roles.times,
        *_given(roles.label, roles.group),
    }
    for index, name in enumerate(columns.names):
        if index in kept or index not in seen.spread or may_be_time(name):
            continue
        named = values and roles.sensor is None and names_sensors(_bare(name))
        number = index in roles.features
        named = named and several(streams, seen.spread[index])
        apart = len(roles.times) > 0 and tells_apart(rows, seen.at_first_times[index], number)
        if named or apart:
            kinds = sorted(set(columns.filled(index, everywhere=True)))
            does = "distinguishes readings of one time" if apart else "names what each value is"
            given = quoted(name)
            asset = f", --columns asset_id={given} an asset" if roles.asset is None else ""
            raise DatasetError(
                f"column {name!r} ({', '.join(kinds[:3])}) {does}, as in a long table: --columns"
                f" sensor_id={given} makes each of them a sensor (then --group-by sensor_id)"
                f"{asset}, --exclude {given} ignores the column",
                field=name,
            )


def _check_machines(
    columns: Columns, form: FileFormat, roles: Roles, wished: Sequence[int]
) -> None:
    """Reject a file of several machines that is taken for one asset, as its name is."""
    if roles.asset is not None or form.asset_id is not None:
        return
    kept = {*wished, *roles.excluded, *_given(roles.label)}
    for index, name in enumerate(columns.names):
        cells = columns.filled(index, everywhere=True)
        if (
            index in kept
            or index not in columns.seen.spread
            or not names_machines(_bare(name), cells)
        ):
            continue
        kinds = sorted(set(cells))
        if len(kinds) > 1:
            raise DatasetError(
                f"column {name!r} ({', '.join(kinds[:3])}) may name the assets, which would be read"
                f" as one: --columns asset_id={quoted(name)} makes each of them an asset, --exclude"
                f" {quoted(name)} ignores the column",
                field="asset_id",
            )
        if index in roles.features:
            roles.features.remove(index)
            roles.names.remove(name)
        said = f"column {name!r} holds no number ({kinds[0]}): left out"
        roles.notes = [note for note in roles.notes if note != said]
        roles.notes.append(
            f"column {name!r} holds {kinds[0]} only: left out (--columns asset_id={quoted(name)}"
            " reads it as the asset)"
        )


def _keys(roles: Roles) -> list[int]:
    """Return the columns that name the stream."""
    return _given(roles.asset, roles.sensor)


def _given(*found: int | None) -> list[int]:
    return [index for index in found if index is not None]


def _rows(cells: Mapping[int, list[str]], keys: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the cells of some columns by row; empty rows if there are no such columns."""
    if not keys:
        return [()] * len(next(iter(cells.values()), ()))
    return list(zip(*(cells.get(index, []) for index in keys), strict=True))


def _wished(columns: Columns, wanted: str | Sequence[str]) -> list[int]:
    given = names_in(wanted, columns.names, "features" if isinstance(wanted, str) else "")
    return [columns.index(name) for name in given]


def _asset(columns: Columns, form: FileFormat, asset: str | None, roles: Roles) -> None:
    roles.asset = _named(columns, form, "asset_id", _ASSET, roles)
    if roles.asset is not None:
        if form.asset_id is not None:
            raise DatasetError(
                f"column {columns.names[roles.asset]!r} names the assets: --asset-id is for files"
                " that have none (--exclude leaves the column out)",
                field="asset-id",
            )
        return
    roles.asset_name = form.asset_id or asset or ""
    if not roles.asset_name:
        has = ", ".join(filter(None, columns.names))[:300]
        one = "" if len(columns.names) > 1 else " (or --delimiter what separates its columns)"
        raise DatasetError(
            f"column 'asset_id' is missing; it has {has}: --asset-id NAME gives the asset,"
            f" --columns asset_id=COLUMN the column that names it{one}",
            field="asset_id",
        )
    if form.asset_id is None:
        roles.notes.append("no column names the asset, so the file's name is the asset")


def _named(
    columns: Columns, form: FileFormat, role: str, known: frozenset[str], roles: Roles
) -> int | None:
    given = form.role(role)
    if given is not None:
        return columns.index(given, f"columns {role}")
    if role in columns.names:
        index = columns.names.index(role)
        return None if index in roles.excluded else columns.index(role)
    found = [p for p in columns.like(known) if columns.filled(p)]
    if len(found) != 1:
        return None
    roles.notes.append(f"column {columns.names[found[0]]!r} is read as {role}")
    return found[0]


def _times(columns: Columns, form: FileFormat, roles: Roles) -> None:
    given = form.role("timestamp")
    if given is not None:
        parts = [given] if given in columns.names else given.split("+")
        roles.times = tuple(columns.index(part.strip(), "columns timestamp") for part in parts)
        if len(roles.times) > 2:
            raise DatasetError("--columns timestamp: joins two columns at most", field="columns")
        if len(roles.times) == 2:
            day, time = roles.times
            roles.time_kinds = kinds_of(
                columns.names[time], columns.cells[time], _streams(columns, roles),
                columns.cells[day], known=True,
            )  # fmt: skip
        return
    free = [p for p in range(len(columns.names)) if p not in (roles.asset, roles.sensor)]
    free = [p for p in free if p not in roles.excluded]
    if "timestamp" in columns.names:
        roles.times = (columns.index("timestamp"),)
        if dates_only(columns.filled(roles.times[0])):
            _join_time_of_day(columns, roles, free)
        return
    timed = [p for p in free if p in columns.timed or is_time(columns.filled(p)[:40])]
    named = [p for p in columns.like(_TIME) if p in free]
    dates = [p for p in free if p in {*timed, *named} and is_date(columns.filled(p))]
    hours = _written_hours(columns, [p for p in free if p not in dates])
    chosen = [p for p in named if p in timed and p not in dates]
    if len(dates) == 1 and len(hours) == 1 and set(timed) <= {*dates, *hours}:
        chosen = [dates[0], hours[0]]
    elif not chosen and form.time_unit is not None and form.time_unit != ROW:
        chosen = named
    elif not chosen:
        chosen = timed
    if hours and len(dates) == 1 and chosen in ([], dates):
        raise _dates_only(columns, dates[0], hours)
    pair = len(dates) == 1 and chosen == [*dates, *hours] and len(hours) == 1
    if pair:
        _read_as_pair(columns, roles, *chosen)
    elif len(chosen) == 1 or (
        not chosen and len(dates) == 1 and _repeated(columns, roles, dates[0])
    ):
        roles.times = (*(chosen or dates),)
        if not (
            dates_only(columns.filled(roles.times[0])) and _join_time_of_day(columns, roles, free)
        ):
            roles.notes.append(f"column {columns.names[roles.times[0]]!r} is read as timestamp")
    elif form.time_unit != ROW:
        _no_time(columns, chosen)


def _read_as_pair(columns: Columns, roles: Roles, day: int, time: int) -> None:
    roles.times = (day, time)
    names = f"{columns.names[day]!r} and {columns.names[time]!r}"
    roles.notes.append(f"columns {names} are read as timestamp")


def _written_hours(columns: Columns, free: Sequence[int]) -> list[int]:
    """Return the columns that hold times of day as texts; those whose name says so, if any do."""
    found = [p for p in free if written(columns.names[p], columns.filled(p))]
    return [p for p in found if says_time(columns.names[p])] or found


def _join_time_of_day(columns: Columns, roles: Roles, free: Sequence[int]) -> bool:
    """Join the one column of times of day to a column of dates that many readings share."""
    day = roles.times[0]
    if not _repeated(columns, roles, day):
        return False
    free = [p for p in free if p != day]
    hours = _written_hours(columns, free)
    if not hours:
        streams = _streams(columns, roles)
        kinds = {
            p: kinds_of(
                columns.names[p], columns.cells[p], streams, columns.cells[day], known=False
            )
            for p in free
        }
        hours = [p for p in free if kinds[p]]
        if len(hours) == 1:
            roles.time_kinds = kinds[hours[0]]
    if len(hours) == 1:
        _read_as_pair(columns, roles, day, hours[0])
    return len(hours) == 1


def _streams(columns: Columns, roles: Roles) -> list[tuple[str, ...]]:
    """Return the asset and sensor of each sampled row."""
    keys = [p for p in (roles.asset, roles.sensor) if p is not None]
    return [tuple(columns.cells[p][row] for p in keys) for row in range(len(columns.cells[0]))]


def _repeated(columns: Columns, roles: Roles, *times: int) -> bool:
    """Return whether many sampled readings of a stream have the same cells in some columns."""
    cells = (columns.cells[p] for p in times)
    keys = list(zip(_streams(columns, roles), *cells, strict=True))
    return many_share(keys, list(zip(*columns.cells, strict=True)))


def _check_dates(columns: Columns, form: FileFormat, roles: Roles) -> None:
    """Refuse dates without a time of day that many readings share, unless the caller chose them."""
    if len(roles.times) == 2 and _repeated(columns, roles, *roles.times):
        names = " and ".join(repr(columns.names[p]) for p in roles.times)
        roles.notes.append(f"columns {names} do not tell all readings of a stream apart: is a part"
                           " of the time of day in another column?")  # fmt: skip
    if len(roles.times) != 1 or form.time_unit is not None:
        return
    day = roles.times[0]
    if not dates_only(columns.filled(day)):
        return
    roles.dates_only = form.role("timestamp") is None
    if _repeated(columns, roles, day):
        if roles.dates_only:
            raise dates_shared(columns, roles)
        roles.notes.append(f"column {columns.names[day]!r} holds dates only: readings of a day"
                           " have the same time")  # fmt: skip


def dates_shared(columns: Columns, roles: Roles) -> DatasetError:
    """Return the error for a column of dates that many readings share."""
    day = roles.times[0]
    others = [p for p, name in enumerate(columns.names) if p != day and may_be_time(name)]
    if len(others) > 1 and all(_repeated(columns, roles, day, p) for p in others):
        names = " and ".join(repr(columns.names[p]) for p in others[:4])
        return DatasetError(
            f"column {columns.names[day]!r} holds dates only, and the time of day is in {names}"
            " together: write it in one column, as HH:MM:SS",
            field="timestamp",
        )
    return _dates_only(columns, day, others)


def _dates_only(columns: Columns, day: int, hours: Sequence[int]) -> DatasetError:
    """Return the error for a column of dates beside columns that may hold the time of day."""
    name = columns.names[day]
    near = [columns.names[p] for p in hours][:3]
    where = "many readings of a stream share one"
    if near:
        where = f"the time of day may be in {' or '.join(map(repr, near))}"
    return DatasetError(
        f"column {name!r} holds dates only, and {where}: --columns"
        f" timestamp={name}+{near[0] if near else 'COLUMN'} joins the time of day, --columns"
        f" timestamp={name} takes the dates alone",
        field="timestamp",
    )


def _no_time(columns: Columns, chosen: Sequence[int]) -> None:
    if chosen:
        names = ", ".join(repr(columns.names[p]) for p in chosen[:5])
        raise DatasetError(
            f"column 'timestamp' is missing, and each of {names} may be it: --columns"
            " timestamp=COLUMN chooses one",
            field="timestamp",
        )
    has = ", ".join(filter(None, columns.names))[:300]
    raise DatasetError(
        f"column 'timestamp' is missing; it has {has}: --columns timestamp=COLUMN (or Date+Time)"
        " names it, --time-unit row counts the readings instead",
        field="timestamp",
    )


def _label(columns: Columns, form: FileFormat, roles: Roles, wished: Sequence[int]) -> None:
    given = form.role("label")
    exact = [i for i, name in enumerate(columns.names) if _bare(name) in ("label", "labels")]
    if "label" in columns.names:
        exact = [columns.index("label")]
    kept = {*roles.excluded, *columns.nested, *wished, *_keys(roles), *roles.times}
    known = [
        p for p, name in enumerate(columns.names)
        if p not in kept and is_label(_bare(name), columns.filled(p, everywhere=True))
    ]  # fmt: skip
    found = [p for p in exact if p not in kept] or known
    if given is not None:
        roles.label = columns.index(given, "label")
    elif len(found) == 1:
        roles.label = found[0]
        if columns.names[found[0]] != "label":
            roles.notes.append(f"column {columns.names[found[0]]!r} is read as label")
    rest = sorted({*found, *known} - {roles.label})
    if rest:
        roles.excluded.update(rest)
        names = ", ".join(repr(columns.names[p]) for p in rest)
        also = "may also be the label" if roles.label is not None else "may each be the label"
        roles.notes.append(f"{names}: {also}, so left out (--label COLUMN chooses)")


def _features(columns: Columns, taken: set[int], notes: list[str]) -> list[int]:
    out, empty = [], 0
    for index, name in enumerate(columns.names):
        if index in taken:
            continue
        cells = columns.cells[index]
        filled = columns.filled(index) or columns.filled(index, everywhere=True)
        if _ROW_NUMBER.fullmatch(name) and _counts_rows(cells):
            notes.append(f"column {name or index + 1!r} numbers the rows: left out")
        elif not name and not filled:
            empty += 1
        elif not name:
            raise DatasetError(
                f"column {index + 1} has no name (a row index?), but holds {filled[0]!r:.40}"
            )
        elif index in columns.timed or (filled and _no_number(columns, index, filled)):
            shown = ", ".join(sorted(set(filled))[:3])[:80]
            hint = ""
            if may_be_label(_bare(name), filled):
                hint = f" (--label {quoted(name)} reads it as the label)"
            notes.append(f"column {name!r} holds no number ({shown}): left out{hint}")
        else:
            if may_be_label(_bare(name), columns.filled(index, everywhere=True)):
                notes.append(
                    f"column {name!r} is read as a feature: --label {quoted(name)} reads it as the"
                    " label"
                )
            out.append(index)
    if empty:
        notes.append(f"{empty} columns without a name hold nothing: left out")
    return out


def _no_number(columns: Columns, index: int, filled: Sequence[str]) -> bool:
    """Return whether a column holds no number, or hardly any: neither at first nor later."""
    if unit_of(filled):
        return False
    sign = columns.decimals.sign(index)
    if any(is_number(cell, sign) for cell in columns.filled(index)):
        return False
    cells = Counter(columns.filled(index, everywhere=True))
    numbers = sum(count for cell, count in cells.items() if is_number(cell, sign))
    if not any(unit_of([cell]) for cell in set(filled)):
        numbers += sum(count for cell, count in cells.items() if unit_of([cell]))
    return ONE_OF * numbers <= cells.total()


def _counts_rows(cells: Sequence[str]) -> bool:
    try:
        numbers = [int(float(cell)) for cell in cells if cell.strip()]
    except (ValueError, OverflowError):
        return False
    return len(numbers) > 0 and all(b - a == 1 for a, b in itertools.pairwise(numbers))


def is_known_name(name: str) -> bool:
    """Return whether a text is a usual name of a column with a role."""
    known = {*_ASSET, *_SENSOR, *_TIME, "label", "labels"}
    return _bare(name) in known or is_label(_bare(name), ())


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
