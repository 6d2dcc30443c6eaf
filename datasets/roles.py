"""Find the role of each column of a file: asset, sensor, time, label, group, feature or none."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from datasets.days_in_rows import days_in_rows
from datasets.format import FileFormat, names_in, quoted
from datasets.influx import own_columns
from datasets.labels import are_conditions, is_label, may_be_label
from datasets.long_tables import (
    names_machines,
    names_sensors,
    names_values,
    several,
    tells_apart,
)
from datasets.numbers import is_number
from datasets.quality_columns import find_qualities
from datasets.sampled_columns import Columns, Roles, given, plain_name, rows_of
from datasets.time_columns import TIME_NAMES, check_dates, count_rows, find_times
from datasets.time_of_day import may_be_time
from datasets.units import mixed_scales, unit_of
from datasets.unreadable import ONE_OF
from errors import DatasetError
from schemas import check_name

#: Note on an asset that neither the file nor the caller names.
NAMED_BY_FILE: Final = "no column names the asset, so the file's name is the asset"
_ASSET: Final = frozenset(("assetid", "asset"))
_SENSOR: Final = frozenset(("sensorid",))
#: Names that people and libraries give to row numbers.
_ROW_NUMBER: Final = re.compile(
    r"|unnamed: ?\d+|__index_level_\d+__|index|level_\d+|row|rows|row[ _]?(?:id|no|nr|num|number)|"
    r"id|#|nr\.?|no\.?|line|record|x",
    re.IGNORECASE,
)

#: Those of them that pandas and R give to an index without a name.
_INDEX: Final = re.compile(r"|unnamed: ?\d+|__index_level_\d+__", re.IGNORECASE)


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
    _check_excluded(columns, form, excluded, group)
    roles = Roles(excluded={i for i, name in enumerate(columns.names) if name in excluded})
    if own := own_columns(columns.names):
        roles.excluded.update(own)
        shown = ", ".join(filter(None, (columns.names[p] for p in own)))
        roles.notes.append(f"{shown}: InfluxDB's own columns are left out")
    _asset(columns, form, asset, roles)
    roles.sensor = _named(columns, form, "sensor_id", _SENSOR, roles)
    find_times(columns, form, roles)
    if group is not None:
        roles.group = columns.index(group)
    columns.look_through(roles.keys(), roles.times, {*roles.excluded, *given(roles.group)})
    wished = [] if wanted is None else _wished(columns, wanted, excluded)
    _label(columns, form, roles, wished)
    if wanted is None:
        taken = {*roles.used(), *roles.excluded}
        _check_scales(columns, [i for i in range(len(columns.names)) if i not in taken])
        roles.features = _features(columns, taken, roles.notes)
    else:
        roles.features = wished
        _check_scales(columns, roles.features)
    roles.names = [columns.names[index] for index in roles.features]
    roles.notes += days_in_rows(roles.names)
    for index, name in zip(roles.features, roles.names, strict=True):
        if unit := unit_of(columns.filled(index) or columns.filled(index, everywhere=True)):
            roles.units[name] = unit
            roles.notes.append(f"column {name!r} holds {unit!r} after each number: read without it")
    for name in roles.names:
        columns.once(name)
    _signs(columns, roles)
    _check_machines(columns, form, roles, wished)
    _check_long(columns, roles, wished)
    check_dates(columns, form, roles)
    count_rows(columns, form, roles)
    find_qualities(columns, roles)
    roles.time_names = [columns.names[index] for index in roles.times]
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
    rows = rows_of(seen.at_first_times, [*roles.keys(), *roles.times])
    streams = rows_of(seen.spread, roles.keys())
    values = any(names_values(plain_name(columns.names[index])) for index in roles.features)
    kept = {
        *wished,
        *roles.excluded,
        *roles.keys(),
        *roles.times,
        *given(roles.label, roles.group),
    }
    for index, name in enumerate(columns.names):
        if index in kept or index not in seen.spread or may_be_time(name):
            continue
        named = values and roles.sensor is None and names_sensors(plain_name(name))
        number = index in roles.features
        named = named and several(streams, seen.spread[index])
        apart = len(roles.times) > 0 and tells_apart(rows, seen.at_first_times[index], number)
        if named or apart:
            kinds = sorted(set(columns.filled(index, everywhere=True)))
            does = "distinguishes readings of one time" if apart else "names what each value is"
            column = quoted(name)
            asset = f", --columns asset_id={column} an asset" if roles.asset is None else ""
            raise DatasetError(
                f"column {name!r} ({', '.join(kinds[:3])}) {does}, as in a long table: --pivot"
                f" {column} makes each of them a feature, --columns sensor_id={column} a sensor of"
                f" its own (then --group-by sensor_id){asset}, --exclude {column} ignores the"
                " column",
                field=name,
            )


def _check_machines(
    columns: Columns, form: FileFormat, roles: Roles, wished: Sequence[int]
) -> None:
    """Reject a file of several machines that is taken for one asset, as its name is."""
    if roles.asset is not None or form.asset_id is not None:
        return
    kept = {*wished, *roles.excluded, *given(roles.label)}
    for index, name in enumerate(columns.names):
        cells = columns.filled(index, everywhere=True)
        if (
            index in kept
            or index not in columns.seen.spread
            or not names_machines(plain_name(name), cells)
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
        other = f"column {name!r} holds no number ({kinds[0]}): left out"
        roles.notes = [note for note in roles.notes if note != other]
        roles.notes.append(
            f"column {name!r} holds {kinds[0]} only: left out (--columns asset_id={quoted(name)}"
            " reads it as the asset)"
        )


def _wished(columns: Columns, wanted: str | Sequence[str], excluded: Sequence[str]) -> list[int]:
    found = names_in(wanted, columns.names, "features" if isinstance(wanted, str) else "")
    for name in found:
        columns.once(name)
        if isinstance(wanted, str) and name in excluded:
            raise DatasetError(
                f"column {name!r} is in --features and in --exclude: name it in one of them",
                field=name,
            )
    return [columns.names.index(name) for name in found]


def _check_excluded(
    columns: Columns, form: FileFormat, excluded: Sequence[str], group: str | None
) -> None:
    """Reject a column that is to be left out and to have a role."""
    chosen: dict[str, str | None] = {}
    chosen |= {f"--columns {role}": name for role, name in form.columns.items()}
    chosen |= {"--label": form.label, "--pivot": form.pivot, "--group-by": group}
    for option, name in chosen.items():
        parts = [] if name is None else [name] if name in columns.names else name.split("+")
        for part in parts:
            if part.strip() in excluded:
                raise DatasetError(
                    f"column {part.strip()!r} is in {option} and in --exclude: name it in one of"
                    " them",
                    field=part.strip(),
                )


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
        roles.notes.append(NAMED_BY_FILE)


def _named(
    columns: Columns, form: FileFormat, role: str, known: frozenset[str], roles: Roles
) -> int | None:
    wanted = form.role(role)
    if wanted is not None:
        pivoted = role == "sensor_id" and form.pivot is not None
        return columns.index(wanted, "pivot" if pivoted else f"columns {role}")
    if role in columns.names:
        index = columns.names.index(role)
        return None if index in roles.excluded else columns.index(role)
    found = [p for p in columns.like(known) if columns.filled(p)]
    if len(found) != 1:
        return None
    roles.notes.append(f"column {columns.names[found[0]]!r} is read as {role}")
    return found[0]


def _label(columns: Columns, form: FileFormat, roles: Roles, wished: Sequence[int]) -> None:
    named = form.role("label")
    exact = [i for i, name in enumerate(columns.names) if _label_name(name) in ("label", "labels")]
    if "label" in columns.names:
        exact = [columns.index("label")]
    kept = {*roles.excluded, *columns.nested, *wished, *roles.keys(), *roles.times}
    known = [
        p for p, name in enumerate(columns.names)
        if p not in kept and is_label(_label_name(name), columns.filled(p, everywhere=True))
    ]  # fmt: skip
    found = [p for p in exact if p not in kept] or known
    if named is not None:
        roles.label = columns.index(named, "label")
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
        elif _INDEX.fullmatch(name) and _is_index(cells):
            notes.append(f"column {name or index + 1!r} is an index: left out")
        elif not name and not filled:
            empty += 1
        elif not name:
            raise DatasetError(
                f"column {index + 1} has no name (a row index?), but holds {filled[0]!r:.40}:"
                " name it in the file, or --exclude '\"\"' leaves columns without a name out"
            )
        elif index in columns.timed or (filled and _no_number(columns, index, filled)):
            shown = ", ".join(" ".join(cell.split()) for cell in sorted(set(filled))[:3])[:80]
            hint = ""
            everywhere = columns.filled(index, everywhere=True)
            if may_be_label(_label_name(name), filled) or are_conditions(everywhere):
                hint = f" (--label {quoted(name)} reads it as the label)"
            notes.append(f"column {name!r} holds no number ({shown}): left out{hint}")
        else:
            if may_be_label(_label_name(name), columns.filled(index, everywhere=True)):
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


def _is_index(cells: Sequence[str]) -> bool:
    """Return whether cells are whole numbers that rise, or differ: rows of a table were taken."""
    try:
        numbers = [float(cell) for cell in cells if cell.strip()]
    except ValueError:
        return False
    steps = sum(b > a for a, b in itertools.pairwise(numbers))
    rises = steps >= 0.9 * (len(numbers) - 1)  # it begins anew in tables that were joined
    differs = len(set(numbers)) == len(numbers)
    return len(numbers) > 2 and (rises or differs) and all(map(float.is_integer, numbers))


def _label_name(name: str) -> str:
    """Return a bare name without what its labels mean, as in Attack (1: no, -1: yes)."""
    return plain_name(re.sub(r"[(\[].*", "", name)) or plain_name(name)


def is_known_name(name: str) -> bool:
    """Return whether a text is a usual name of a column with a role."""
    known = {*_ASSET, *_SENSOR, *TIME_NAMES, "label", "labels"}
    return plain_name(name) in known or is_label(plain_name(name), ())
