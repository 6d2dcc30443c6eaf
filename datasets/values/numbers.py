"""Parse texts that mean a number or a missing value."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from datasets.findings import Findings, label_hint
from datasets.types import Floats
from errors import DatasetError

_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ARROW_NUMBER: Final = f"^{_NUMBER}$"
_IS_NUMBER: Final = re.compile(_NUMBER)
_IS_COMMA_NUMBER: Final = re.compile(_NUMBER.replace(r"\.", ","))
#: Exponents that Arrow does not read: set apart, Fortran's D, and written out.
_EXPONENT: Final = re.compile(
    r"(?<=[\d.,])(?:\s*[eE]\s*|\s*[dD](?=[+-])|\s*[x×*·]\s*10\s?\^\s?)(?P<size>[+-]?\d+)$"
)
_ODD_SIGNS: Final = (
    # a typographic minus sign, as Scandinavian programs and word processors write it, or blanks
    # after the sign, as loggers write numbers of one width
    ("^(?:[\u2212\u2013]\\s*|-\\s+)([.,]?\\d)", r"-\1"),
    (r"^\+\s+([.,]?\d)", r"\1"),
    # a minus sign behind its number, as SAP and mainframes write it
    ("^([.,]?\\d(?:[\\d.,\\s]*[\\d.,])?)\\s?[-\u2212]$", r"-\1"),
)
_GROUPED: Final = {
    # groups of thousands, separated by the other sign, a blank or an apostrophe
    ".": re.compile(r"[+-]?\d{1,3}(?:[,\s'\u2019]\d{3})+(?:\.\d+)?"),
    ",": re.compile(r"[+-]?\d{1,3}(?:[.\s'\u2019]\d{3})+(?:,\d+)?"),
}
_EMPTY: Final = frozenset(
    ("", "nan", "na", "n/a", "#n/a", "#na", "null", "<null>", "none", "nil", "-", "--", "---", "?",
     "<na>", "nat", "(null)", r"\n",  # of pandas and of databases, in lower case
     "-nan", "1.#qnan", "-1.#ind", "1.#ind", "nan(ind)", "-nan(ind)", "undefined", "missing")
)  # fmt: skip
#: Texts that historians (PI, OPC, iFIX, Wonderware) and spreadsheets write instead of a value.
_STATES: Final = frozenset(
    ("bad", "bad input", "bad quality", "bad data", "bad value", "bad output", "bad tag", "no data",
     "nodata", "no result", "no value", "not available", "unavailable", "i/o timeout",
     "io timeout", "timeout", "time out", "comm fail", "comm failure", "comm error", "comm. fail",
     "communication failure", "configure", "not configured", "not connected", "not connect",
     "disconnected", "no connection", "pt created", "point created", "shutdown", "scan off",
     "scan timeout", "off scan", "offline", "arc offline", "arc off-line", "intf shut",
     "intf down", "under range", "over range", "underrange", "overrange", "out of range",
     "under range of", "inp out of range", "calc failed", "calc error", "calc off", "calc overflow",
     "error", "err", "failed", "fail", "fault", "sensor failure", "device failure", "invalid",
     "invalid data", "uncertain", "questionable", "unknown", "ptcreated", "no sample",
     "no lab data", "no alarm", "access denied", "equip fail", "system error", "invalid float",
     "#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!", "#####", "pending", "doubtful",
     "ol", "+ol", "-ol", "overload", "o.l.", "+over", "-over", "over", "burnout", "burn out",
     "no good", "no good data for calculation", "stale",
     "kein wert", "keine daten", "ungültig", "überlauf", "pas de données",
     "invalide", "hors service", "sin datos", "nessun dato", "n.v.", "k.a.", "n.d.",
     "#nodata", "all data events are filtered in summary calculation", "bad val", "comm lost",
     "communication lost", "sensor fault", "sensor error", "{null}",
     "deleted", "out of serv", "out of service", "not good", "substituted", "trace", "<bad>")
)  # fmt: skip
#: A code before a state.
_CODED: Final = re.compile(r"^(\[-?\d+\]|-\d{3,5}[:;]?)\s+")
#: Signs that fill a cell.
_FILLED: Final = re.compile(r"[-–—]+|[*.#_~+]{2,}|\.|…")
_HEXADECIMAL: Final = re.compile(r"(?:0[xX]|\$)?[\dA-Fa-f]{2,}[hH]?")
_ENDS_WITH_LETTER: Final = re.compile(r"\d+[A-Za-z]?")
#: An error of a spreadsheet program, in the language of its user: #WERT!, #NV, #N/D, #¡VALOR!
_CELL_ERROR: Final = re.compile(r"#(?:[¡¿]?[^\W\d_][\w/]*[!?]|n/?[a-z]{1,2})")
_INFINITE: Final = ("inf", "infinity", "1.#inf")
_ON: Final = (
    "true", "on", "yes", "wahr", "ein", "ja", "vrai", "oui", "verdadero", "vero", "sí", "sim",
    "verdadeiro", "waar", "aan", "sant", "sand", "sann", "tosi", "prawda", "tak", "pravda", "igaz",
    "истина", "да", "вкл", "真", "是", "开", "オン",
)  # fmt: skip
_OFF: Final = (
    "false", "off", "no", "falsch", "aus", "nein", "faux", "non", "falso", "não", "nee", "nej",
    "onwaar", "uit", "falskt", "falsk", "usann", "epätosi", "fałsz", "nie", "nepravda", "hamis",
    "ложь", "нет", "выкл", "假", "否", "关", "オフ",
)  # fmt: skip
_SWITCH: Final = dict.fromkeys(_ON, 1.0) | dict.fromkeys(_OFF, 0.0)
#: Up to this size a float represents every whole number exactly.
EXACT: Final = 2**53


def missing(text: str) -> bool:
    """Return whether a text means "not measured"."""
    word = text.strip().casefold()
    if _IS_NUMBER.fullmatch(word):  # most cells are: this saves most of the time
        return False
    return word in _EMPTY or _is_state(word)


def _is_state(word: str) -> bool:
    """Return whether a text, in lower case, says why there is no value: also [-11059] Bad Input."""
    return (
        word in _STATES
        or _CODED.sub("", word) in _STATES
        or _FILLED.fullmatch(word) is not None
        or _CELL_ERROR.fullmatch(word) is not None
    )


def is_number(text: str, decimal: str = ".") -> bool:
    """Return whether a text is a number: also infinite, grouped by thousands, or on/off."""
    word = text.strip()
    if (_IS_NUMBER if decimal == "." else _IS_COMMA_NUMBER).fullmatch(word):
        return True
    word = plain_sign(word)
    return _value(word, decimal) is not None or word.strip("+-").casefold() in _INFINITE


def is_switch(text: str) -> bool:
    """Return whether a text is a word for on or off."""
    return text.strip().casefold() in _SWITCH


def are_hexadecimal(cells: Collection[str]) -> bool:
    """Return whether cells look like hexadecimal numbers of one width: 04BB, 0x1F or 1Fh.

    Numbers that only end with a letter are decimal ones with a unit: 21C and 70F.
    """
    widths = {len(cell) for cell in cells}
    alike = len(widths) == 1 and all(map(_HEXADECIMAL.fullmatch, cells))
    return alike and not all(map(_ENDS_WITH_LETTER.fullmatch, cells))


def plain_exponent(text: str) -> str:
    """Return a number with its exponent as Arrow reads it: 1.5e3 for 1.5 E3, 1.5D+3 or 1.5x10^3."""
    return _EXPONENT.sub(r"e\g<size>", text)


def plain_sign(text: str) -> str:
    """Return a number with its minus sign as programs read it, and none but that: ``-1.5``."""
    for odd, plain in _ODD_SIGNS:
        text = re.sub(odd, plain, text)
    return text


class Nulls:
    """The caller's values for "not measured", as text and as numbers."""

    def __init__(self, given: Any = (), decimal: str = ".") -> None:
        self.texts = frozenset(value.casefold() for value in given)
        found = (_value(value, decimal) or _value(value, ".") for value in given)
        self.numbers = [value for value in found if value is not None]
        if any(_value(value, ".") == 0 for value in given):
            self.numbers.append(0.0)
        self.numbers += [float(v) for v in given if v.strip("+-").casefold() in ("inf", "infinity")]

    def blank(self, values: Floats) -> Floats:
        """Return ``values`` (n,) with the caller's codes replaced by NaN."""
        if not self.numbers:
            return values
        return np.where(np.isin(values, self.numbers), np.nan, values)


def to_floats(
    column: Any,
    name: str,
    rows: npt.NDArray[np.int64],
    decimal: str,
    nulls: Nulls,
    found: Findings,
) -> Floats:
    """Convert a column of text to numbers (n,), NaN where nothing was measured.

    Parameters
    ----------
    column : pyarrow array of strings
    name : name of the column, for messages.
    rows : (n,) row numbers, for messages.
    decimal : decimal sign.
    nulls : further values that mean "not measured".
    found : receives texts that were read as missing, and cells that are not numbers, which are read
        as missing too.

    Raises
    ------
    DatasetError
        The column mixes on/off with numbers; names the row, the column, the text and the options.
    """
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    for odd, usual in _ODD_SIGNS:
        text = pc.replace_substring_regex(text, odd, usual)
    plain = pc.replace_substring(text, ",", ".") if decimal == "," else text
    good = pc.fill_null(pc.match_substring_regex(plain, _ARROW_NUMBER), False)
    if decimal == ",":  # a point is not a decimal sign here: 12.345 is twelve thousand
        good = pc.and_(good, pc.invert(pc.fill_null(pc.match_substring(text, "."), False)))
    numbers = pc.if_else(good, plain, None).cast(pa.float64())
    values: Floats = numbers.to_numpy(zero_copy_only=False).copy()
    others = np.flatnonzero(~good.to_numpy(zero_copy_only=False))
    cells = text.take(pa.array(others)).to_pylist()
    switches = _SWITCH.keys() - nulls.texts
    if any(cell is not None and cell.casefold() in switches for cell in set(cells)):
        found.on_off[name] = None
    known: dict[str, float] = {}
    wrong: set[str] = set()
    for row, cell in zip(others.tolist(), cells, strict=True):
        if cell is None:
            continue
        try:
            if cell in wrong or cell not in known:
                known[cell] = _read(
                    cell, name, int(rows[row]), decimal, nulls, name in found.on_off
                )
        except DatasetError as error:
            known[cell] = np.nan
            wrong.add(cell)
            found.values.add(int(rows[row]), error)
        values[row] = known[cell]
        if cell.casefold() not in _EMPTY and _is_state(cell.casefold()):
            found.states.setdefault((name, cell), []).append(int(rows[row]))
    switched = next((cell for cell in known if cell.casefold() in switches), None)
    if switched is not None and not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        row = rows[others[cells.index(switched)]]
        raise DatasetError(
            f"row {row}: column {name!r} holds {switched!r} among numbers: --null {switched} reads"
            f" it as missing, --exclude {name!r} leaves the column out",
            field=name,
        )
    if switched is not None:
        found.switches[name] = None
    return nulls.blank(values)


def _read(cell: str, name: str, row: int, decimal: str, nulls: Nulls, on_off: bool) -> float:
    if missing(cell) or cell.casefold() in nulls.texts:
        return np.nan
    value = _value(cell, decimal)
    if value is not None:
        return value
    sign = '"' if "'" in cell else "'"  # as a shell reads it: no backslash is doubled
    typed = f"{sign}{cell:.60}{sign}"
    null = f"--null {typed} reads it as missing, " if cell.isprintable() else ""
    hint = f"{null}--exclude {name!r} leaves the column out"
    if on_off:
        hint = f"{label_hint(name)}, {hint}"
    if decimal == "," and _IS_NUMBER.fullmatch(cell):
        hint = "its other numbers have decimal commas: --decimal gives the decimal sign"
    elif decimal == "." and _IS_COMMA_NUMBER.fullmatch(cell):
        hint = "a decimal comma? --decimal , reads it"
    elif cell.strip("+-").casefold() in _INFINITE:
        raise DatasetError(f"row {row}: {name} is not finite: --null {cell}", field=name)
    raise DatasetError(
        f"row {row}: column {name!r} holds {cell!r:.80}, not a number: {hint}", field=name
    )


def _value(cell: str, decimal: str) -> float | None:
    pattern = _IS_NUMBER if decimal == "." else _IS_COMMA_NUMBER
    if pattern.fullmatch(cell):
        return float(cell.replace(",", "."))
    if (plain := plain_exponent(cell)) != cell:
        return _value(plain, decimal)
    if _GROUPED[decimal].fullmatch(cell):
        other = "," if decimal == "." else "."
        bare = re.sub(r"[\s'\u2019]", "", cell.replace(other, ""))
        return float(bare.replace(",", "."))
    return _SWITCH.get(cell.casefold())
