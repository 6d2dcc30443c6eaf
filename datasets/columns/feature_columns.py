"""Find the columns that can be features, and check their numbers."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from datasets.columns.labels import are_conditions, may_be_label
from datasets.format import quoted
from datasets.sampled_columns import Columns, Roles, plain_name
from datasets.unreadable import ONE_OF
from datasets.values.numbers import are_hexadecimal, is_number, is_switch
from datasets.values.units import mixed_scales, unit_of
from errors import DatasetError

#: Names that people and libraries give to row numbers.
_ROW_NUMBER: Final = re.compile(
    r"|unnamed: ?\d+|__index_level_\d+__|index|level_\d+|row|rows|row[ _]?(?:id|no|nr|num|number)|"
    r"id|#|nr\.?|no\.?|line|record|x",
    re.IGNORECASE,
)
#: Last words of names of ids and kinds: status_type_id, ProductType, but not humid.
_CODE: Final = re.compile(
    r"(?:^|[\W_])(?i:id|type|code|class|category|cluster)$|(?<=[a-z\d])(?:ID|Id|Type|Code|Class)$"
)
#: Words for the part of the readings that a model is fitted on, and for the others.
_FITTED_ON: Final = frozenset(("train", "training", "trn"))
_JUDGED_ON: Final = frozenset(
    ("test", "testing", "tst", "val", "valid", "validation", "prediction", "predict", "eval",
     "evaluation", "holdout", "hold-out")
)  # fmt: skip
#: Names, in lower case without punctuation, of columns of 0 and 1 that tell these parts.
_PART: Final = re.compile("(is|in)?train(ing)?(set|data|flag)?|(is|in)test(set)?|traintest(split)?")
_ID: Final = re.compile(r"(?:[\W_](?i:id)|[a-z\d](?:ID|Id))$")
#: Different codes in a column, at most; a measurement has more values, but those of ids are many.
_CODES: Final = 20
#: Those of them that pandas and R give to an index without a name.
_INDEX: Final = re.compile(r"|unnamed: ?\d+|__index_level_\d+__", re.IGNORECASE)


def check_scales(columns: Columns, features: Sequence[int]) -> None:
    """Reject columns whose numbers are scaled differently, such as 1.2 K and 998.

    Raises
    ------
    DatasetError
        Names the column and two of its cells.
    """
    for index in features:
        if (found := mixed_scales(columns.filled(index))) is not None:
            name = columns.names[index]
            if are_hexadecimal(columns.filled(index)):
                raise DatasetError(
                    f"column {name!r} holds {found[0]!r} and {found[1]!r}: hexadecimal numbers?"
                    f" Convert them to decimal ones; --exclude {name!r} leaves the column out",
                    field=name,
                )
            raise DatasetError(
                f"column {name!r} holds {found[0]!r} and {found[1]!r}, which are not in the same"
                f" unit: --exclude {name!r} leaves the column out",
                field=name,
            )


def note_signs(columns: Columns, roles: Roles) -> None:
    """Say which features have decimal commas or separated thousands, and reject unclear ones.

    Raises
    ------
    DatasetError
        Names a column in which a comma or point may be either.
    """
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


def find_features(columns: Columns, taken: set[int], notes: list[str]) -> list[int]:
    """Return the indices of the columns that are features, as nobody names them.

    Parameters
    ----------
    columns : the file's columns.
    taken : indices of the columns that have another role, or are excluded.
    notes : receives a note on each column that is left out.

    Raises
    ------
    DatasetError
        A column without a name holds something.
    """
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
            if _tells_parts(name, everywhere):
                notes.append(_of_parts(name, everywhere))
                continue
            if may_be_label(label_name(name), filled) or are_conditions(columns.texts(index)):
                hint = f" (--label {quoted(name)} reads it as the label)"
            notes.append(f"column {name!r} holds no number ({shown}): left out{hint}")
        else:
            everywhere = columns.filled(index, everywhere=True)
            if _tells_parts(name, everywhere):
                notes.append(_of_parts(name, everywhere))
                continue
            if may_be_label(label_name(name), everywhere):
                notes.append(
                    f"column {name!r} is read as a feature: --label {quoted(name)} reads it as the"
                    " label"
                )
            elif _CODE.search(name) and _are_codes(name, everywhere):
                notes.append(
                    f"column {name!r} is read as a feature: if its numbers are codes (ids, kinds),"
                    f" --exclude {quoted(name)} leaves it out"
                )
            out.append(index)
    if empty:
        notes.append(f"{empty} columns without a name hold nothing: left out")
    return out


def _tells_parts(name: str, cells: Sequence[str]) -> bool:
    """Return whether a column tells readings for training from those for a test."""
    words = {cell.casefold() for cell in cells}
    if words & _FITTED_ON and words & _JUDGED_ON:
        return words <= _FITTED_ON | _JUDGED_ON
    whole = words <= {"0", "1", "0.0", "1.0", "true", "false"}
    return whole and _PART.fullmatch(plain_name(name)) is not None


def _of_parts(name: str, cells: Sequence[str]) -> str:
    """Return the note on a column that divides the readings."""
    return (
        f"column {name!r} ({', '.join(sorted(set(cells)))}) divides the readings for training and"
        " test: left out (--features keeps it), and those of all parts are read"
        " (training.backtest --train-until TIME trains on earlier ones alone; else keep each part"
        " in a file of its own)"
    )


def _are_codes(name: str, cells: Sequence[str]) -> bool:
    """Return whether the cells are whole numbers, of which a few return again and again."""
    kinds = set(cells)
    most = len(cells) if _ID.search(name) else _CODES
    whole = all(re.fullmatch(r"[+-]?\d+(?:\.0*)?", cell) for cell in kinds)
    return whole and 1 < len(kinds) <= min(most, len(cells) // 4)


def _no_number(columns: Columns, index: int, filled: Sequence[str]) -> bool:
    """Return whether a column holds no number, or hardly any: neither at first nor later."""
    if unit_of(filled):
        return False
    sign = columns.decimals.sign(index)
    first = columns.filled(index)
    if found := [cell for cell in first if is_number(cell, sign)]:
        # Off among Auto and Manual is a mode
        return all(map(is_switch, found)) and 2 * len(found) < len(first)
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
    rises = steps >= 0.9 * (len(numbers) - 1)  # it restarts in joined tables
    differs = len(set(numbers)) == len(numbers)
    return len(numbers) > 2 and (rises or differs) and all(map(float.is_integer, numbers))


def label_name(name: str) -> str:
    """Return a bare name without what its labels mean, as in Attack (1: no, -1: yes)."""
    return plain_name(re.sub(r"[(\[].*", "", name)) or plain_name(name)
