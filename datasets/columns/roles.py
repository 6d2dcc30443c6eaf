"""Find the role of each column of a file: asset, sensor, time, label, group, feature or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from datasets.columns.daylight_marks import leave_out_marks
from datasets.columns.days_in_rows import days_in_rows
from datasets.columns.feature_columns import check_scales, find_features, label_name, note_signs
from datasets.columns.influx_columns import own_columns
from datasets.columns.labels import are_labels, is_label, is_part_of
from datasets.columns.long_tables import (
    may_name_assets,
    names_machines,
    names_sensors,
    names_values,
    says_which,
    several,
    tells_apart,
)
from datasets.columns.quality_columns import find_qualities
from datasets.columns.second_times import leave_out_epochs
from datasets.columns.unit_column import find_units
from datasets.format import FileFormat, names_in, quoted
from datasets.sampled_columns import Columns, Roles, given, plain_name, rows_of
from datasets.times.completed_times import complete_times
from datasets.times.time_columns import check_dates, count_rows, find_times, leave_out_times
from datasets.times.time_of_day import TIME_NAMES, may_be_time
from datasets.values.units import unit_of
from errors import DatasetError
from schemas import check_name

#: Note on an asset that neither the file nor the caller names.
NAMED_BY_FILE: Final = "no column names the asset, so the file's name is the asset"
_ASSET: Final = frozenset(("assetid", "asset"))
_SENSOR: Final = frozenset(("sensorid",))


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
    complete_times(columns, form, roles)
    leave_out_epochs(columns, roles)
    if group is not None:
        roles.group = columns.index(group)
    columns.look_through(roles.keys(), roles.times, {*roles.excluded, *given(roles.group)})
    wished = [] if wanted is None else _wished(columns, wanted, excluded)
    leave_out_marks(columns, roles, wished)
    leave_out_times(columns, form, roles, wished)
    _label(columns, form, roles, wished)
    if wanted is None:
        taken = {*roles.used(), *roles.excluded}
        check_scales(columns, [i for i in range(len(columns.names)) if i not in taken])
        roles.features = find_features(columns, taken, roles.notes)
    else:
        roles.features = wished
        check_scales(columns, roles.features)
    roles.names = [columns.names[index] for index in roles.features]
    roles.notes += days_in_rows(roles.names)
    for index, name in zip(roles.features, roles.names, strict=True):
        if unit := unit_of(columns.filled(index) or columns.filled(index, everywhere=True)):
            roles.units[name] = unit
            roles.notes.append(f"column {name!r} holds {unit!r} after each number: read without it")
    for name in roles.names:
        columns.once(name)
    note_signs(columns, roles)
    _check_machines(columns, form, roles, wished)
    _check_long(columns, roles, wished)
    check_dates(columns, form, roles)
    count_rows(columns, form, roles)
    find_qualities(columns, roles)
    find_units(columns, roles)
    roles.time_names = [columns.names[index] for index in roles.times]
    if not roles.names:
        if roles.label is not None:
            raise DatasetError(
                f"holds labels ({columns.names[roles.label]}) and no features: copy them into a"
                " column of the readings' file (--label COLUMN)",
                field="features",
            )
        why = "".join(f"; {note}" for note in roles.notes)[:300]
        raise DatasetError(f"no feature column{why}", field="features")
    return roles


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
    """Reject a file of several machines that is taken for one asset, as its name is.

    If the caller names the one asset, the number of the machine is no feature all the same.
    """
    if roles.asset is not None:
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
        if form.asset_id is not None:
            if index not in roles.features or not says_which(plain_name(name)):
                continue
        elif len(kinds) > 1:
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
        what = f"holds {kinds[0]} only" if len(kinds) == 1 else "may name the machines"
        does = "reads it as the asset" if len(kinds) == 1 else "makes each of them an asset"
        roles.notes.append(
            f"column {name!r} {what}: left out (--columns asset_id={quoted(name)} {does})"
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
        such = may_name_assets(columns.names, [*map(columns.filled, range(len(columns.names)))])
        raise DatasetError(
            f"column 'asset_id' is missing; it has {has}: --asset-id NAME gives the asset,"
            f" --columns asset_id=COLUMN the column that names it{such}{one}",
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
    exact = [i for i, name in enumerate(columns.names) if label_name(name) in ("label", "labels")]
    if "label" in columns.names:
        exact = [columns.index("label")]
    kept = {*roles.excluded, *columns.nested, *wished, *roles.keys(), *roles.times}
    known = [
        p for p, name in enumerate(columns.names)
        if p not in kept and is_label(label_name(name), columns.filled(p, everywhere=True))
    ]  # fmt: skip
    found = [p for p in exact if p not in kept] or known
    if len(found) > 1:
        whole = [p for p in found if _has_parts(columns, p, {*found} - {p})]
        found = whole or found
    if not found and named is None:
        texts = [
            p for p in range(len(columns.names))
            if p not in kept and are_labels(columns.texts(p))
        ]  # fmt: skip
        found = texts if len(texts) == 1 else []
    if named is not None:
        roles.label = columns.index(named, "label")
    elif len(found) == 1:
        roles.label = found[0]
        if (name := columns.names[found[0]]) != "label":
            undo = "" if found[0] in {*exact, *known} else f" (--exclude {quoted(name)} ignores it)"
            roles.notes.append(f"column {name!r} is read as label{undo}")
    if roles.label is not None:
        parts = _parts_of(columns, roles.label, {*range(len(columns.names))} - kept)
        if parts:
            names = ", ".join(repr(columns.names[p]) for p in parts)
            roles.notes.append(
                f"{names}: named as parts of the label {columns.names[roles.label]!r}, so left out"
                " (--features chooses)"
            )
        roles.excluded.update(parts)
        kept.update(parts)
    rest = sorted({*found, *known} - {roles.label} - kept)
    if rest:
        roles.excluded.update(rest)
        names = ", ".join(repr(columns.names[p]) for p in rest)
        also = "may also be the label" if roles.label is not None else "may each be the label"
        roles.notes.append(f"{names}: {also}, so left out (--label COLUMN chooses)")


def _parts_of(columns: Columns, label: int, among: set[int]) -> list[int]:
    """Return the columns among these that are labels named as parts of another one."""
    whole = columns.names[label]
    return [
        p for p in sorted(among - {label})
        if is_part_of(whole, columns.names[p], columns.filled(p, everywhere=True))
    ]  # fmt: skip


def _has_parts(columns: Columns, label: int, others: set[int]) -> bool:
    """Return whether all other columns are named as parts of a label."""
    return {*_parts_of(columns, label, others)} == others


def names_assets(name: str) -> bool:
    """Return whether a bare name is that of a column of assets."""
    return name in _ASSET


def is_known_name(name: str) -> bool:
    """Return whether a text is a usual name of a column with a role."""
    known = {*_ASSET, *_SENSOR, *TIME_NAMES, "label", "labels"}
    return plain_name(name) in known or is_label(plain_name(name), ())
