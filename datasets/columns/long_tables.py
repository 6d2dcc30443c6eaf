"""Recognise tables that hold several machines or sensors without a column known to name them.

In a long table a row is one value, and a column says which sensor's. Read as a wide table, its
sensors would become one signal; so would the machines of a file that is taken for one asset.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import median
from typing import Final

from datasets.format import quoted
from datasets.sampled_columns import plain_name
from datasets.values.numbers import is_number

#: Names, in lower case without punctuation, of columns that name the sensor in a long table.
_SENSOR: Final = re.compile(
    "(sensor|tag|variable|var|parameter|param|signal|channel|chan|kanal|metric|measurement|measure|"
    "point|attribute|item|series|field|quantity|property|probe|characteristic|feature|messstelle|"
    "messpunkt|messgroesse|messgröße|grandeur|kennzeichen)(id|name|no|nr|num|number|code|key|type)?|"
    "name"
)
_VALUE: Final = re.compile(
    "(avg|mean|min|max|num|numeric|float|double|raw|real|actual|measured|sensor|tag|var)?"
    "(values?|val|reading|result|wert|messwert|valeur|valor|valore|waarde)(num|numeric)?"
)
_MACHINE: Final = re.compile(
    "(machine|maschinen?|equipment|device|unit|asset|(wind)?turbine|engine|pump|motor|compressor|robot|"
    "vehicle|truck|wtg|serial|host|anlagen?|aggregat|gerät|geraet|appareil|maquina|macchina)"
    "(?P<suffix>id|no|nr|num|number|name|nummer|code|key|serial|sn|tag)?"
)
#: Names of texts that say of what kind something is, or how it is, and not which.
_KIND: Final = re.compile(
    r"(type|class|category|kind|status|state|mode|label|error(_?id)?|fault|failure)$", re.IGNORECASE
)
#: A name of machines (Unit 7), or of units of measurement (bar), most of which have no digit.
_UNITS: Final = re.compile("units?")
#: Share of the readings, one in so many, that must have their time in common with others.
_SHARED: Final = 10
#: Readings of one time have equal cells so many times more rarely than by chance.
_RARER: Final = 4
#: And are that rare by chance in one of some 20,000 files, exp(-20 / 2).
_SURE: Final = 20
_MOST_KINDS: Final = 1000  # distinct names of machines in one column, at most


def names_sensors(name: str) -> bool:
    """Return whether a bare column name usually names the sensor in a long table."""
    return _SENSOR.fullmatch(name) is not None


def names_values(name: str) -> bool:
    """Return whether a bare column name usually names the values of a long table."""
    return _VALUE.fullmatch(name) is not None


def names_machines(name: str, cells: Sequence[str]) -> bool:
    """Return whether a column names machines, by its bare name and cells; 0 and 1 may be switches.

    Parameters
    ----------
    name
        The name in lower case without punctuation.
    cells
        Cells that are not missing.
    """
    match = _MACHINE.fullmatch(name)
    if match is None or not 0 < len(set(cells)) <= _MOST_KINDS:
        return False
    if not all(re.fullmatch(r"\d+(\.0)?", cell) or not is_number(cell) for cell in cells):
        return False
    numbers = {float(cell) for cell in cells if is_number(cell)}
    return says_which(name) or not numbers & {0.0, 1.0}


def says_which(name: str) -> bool:
    """Return whether a bare name of machines says that it tells which: machine_id or unit."""
    match = _MACHINE.fullmatch(name)
    return match is not None and (bool(match["suffix"]) or _UNITS.fullmatch(name) is not None)


def may_name_machines(name: str) -> bool:
    """Return whether a bare name is that of a column which may name machines."""
    return _MACHINE.fullmatch(name) is not None


def tells_apart(keys: Sequence[Hashable], cells: Sequence[str], number: bool) -> bool:
    """Return whether a column tells readings of one time apart, as a sensor's name does.

    Parameters
    ----------
    keys
        Stream and time of each row.
    cells
        The column's cells in the same rows; empty ones do not count.
    number
        Its cells are numbers, which may differ by chance: most of them must occur at most times.
    """
    count = Counter(keys)
    rows = [(key, cell) for key, cell in zip(keys, cells, strict=True) if count[key] > 1 and cell]
    if _SHARED * len(rows) < len(keys):
        return False
    pairs = Counter(rows)
    kinds = Counter(cell for _, cell in rows)
    if not 1 < len(kinds) <= len(rows) / 3:
        return False
    equal = sum(map(_pairs, pairs.values()))
    if not number and not equal:
        return True
    chance = sum((n / len(rows)) ** 2 for n in kinds.values())
    expected = chance * sum(_pairs(n) for n in Counter(key for key, _ in rows).values())
    rare = (expected - equal) ** 2 > _SURE * expected  # Chernoff's bound on a count of Poisson
    times = Counter(cell for _, cell in pairs)
    regular = 2 * median(times.values()) >= len({key for key, _ in pairs})
    return _RARER * equal <= expected and rare and (regular or not number)


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def several(streams: Sequence[Hashable], cells: Sequence[str]) -> bool:
    """Return whether some stream has several different cells in a column."""
    first: dict[Hashable, str] = {}
    return any(cell and first.setdefault(key, cell) != cell
               for key, cell in zip(streams, cells, strict=True))  # fmt: skip


def may_name_assets(names: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Suggest the single column that may name the assets: by its name, or few texts that repeat.

    Parameters
    ----------
    names : names of the columns.
    cells : the first filled cells of each column.
    """
    named, texts = [], []
    for name, filled in zip(names, cells, strict=True):
        kinds = sorted(set(filled))
        such = f", such as asset_id={quoted(name)} ({', '.join(kinds[:3])})"
        if _UNITS.fullmatch(plain_name(name)) and not all(re.search(r"\d", cell) for cell in kinds):
            continue
        if names_machines(plain_name(name), filled):
            named.append(such)
        words = all(cell[0].isalpha() for cell in kinds)  # no numbers, and no times
        kind = _KIND.search(name) is not None
        if name and words and not kind and 0 < 2 * len(kinds) <= len(filled):
            texts.append(such)
    found = named or texts
    return found[0] if len(found) == 1 else ""
