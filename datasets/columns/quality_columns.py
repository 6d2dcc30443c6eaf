"""Find columns that say whether the values of other columns are good, as historians export them.

A value whose quality is bad was not measured: loggers keep the last value, or write a zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from datasets.columns.long_tables import names_values
from datasets.format import quoted
from datasets.sampled_columns import Columns, Roles, plain_name
from datasets.types import Flags

_NAME: Final = re.compile(
    r"(?P<base>.*?)[\W_]*(?:(?P<sure>(?:opc)?(?:quality|qual|qc|q|validity|qualität|qualitaet|"
    r"qualité|calidad|qualità|güte|guete|gültigkeit|validité|validez|data[ _-]?integrity|"
    r"confidence)(?:[ _-]?(?:code|detail|flag))?)|"
    r"status(?:[ _-]?code)?|stat|state|flag|(?:is[ _-]?)?(?:valid|good)|statut|estado|stato)\W*",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(r"(values?|val|wert|messwert|valeur|valor|pv)$")
#: A status code of OPC UA, alone or behind words: the upper two bits tell 0 good, 1 doubtful.
_UA_CODE: Final = re.compile(r"(?:.*\()?0x(?P<code>[0-9a-f]{8}|0)\)?")
_GOOD: Final = re.compile(r"good.*|ok|okay|valid|true|gut|gültig|bon|bonne|valide|bueno|buena|g")
_BAD: Final = re.compile(
    r"bad.*|invalid.*|no[t ]? ?good|n\.?ok|not ok|false|schlecht|ungültig|mauvaise?|malo|mala|"
    r"non ?valide|b"
)
_DOUBTFUL: Final = re.compile(r"(uncertain|questionable|doubtful|suspect|unsicher).*|u")
#: States of Niagara in braces: {ok}, {alarm,overridden}, {fault,down}.
_BRACES: Final = re.compile(r"\{(?P<states>[a-z]+(?:,[a-z]+)*)\}")
_NIAGARA: Final = {
    "good": {"ok"},
    "bad": {"fault", "down", "stale", "null", "disabled"},
    "doubtful": {"alarm", "unackedalarm", "overridden"},
}
#: Qualities of OPC: the upper two of eight bits. Good ones are mostly 192, or 216: by hand.
_OPC_GOOD: Final = (192.0, 216.0)
#: Good ones of PROFIBUS and PCS 7, and of historians that count percent (Proficy, PHD). A steam
#: quality or a flow Q may be as much, so they count only beside the value that they judge.
_GOOD_BESIDE_A_VALUE: Final = (128.0, 100.0)
_OPC_DOUBTFUL: Final = 64  # from here on a quality is uncertain, below it is bad
_OPC_MOST: Final = 255
#: Names of columns in which 1 is good, as WinCC writes them; 0 is bad, 2 an event of the system.
_ONE_IS_GOOD: Final = re.compile(r"(?<!in)valid|(?<!un)gültig", re.IGNORECASE)
_ONE: Final = ("1", "1.0")
_OTHERS: Final = ("0", "0.0", "2", "2.0")


def find_qualities(columns: Columns, roles: Roles) -> None:
    """Find the columns of qualities, and which features each judges.

    Parameters
    ----------
    columns
        The file's columns.
    roles
        The roles found; receives ``qualities``, and loses features that are qualities.
    """
    taken = {*roles.used(), *roles.excluded, *columns.nested, *columns.timed} - {*roles.features}
    found = [p for p in range(len(columns.names)) if p not in taken and _is_quality(columns, p)]
    features = [p for p in roles.features if p not in found and not _named_quality(columns, p)]
    if not features:
        return
    _say_features(columns, roles, found)
    alone = [p for p in found if not _judged(columns, p, features)]
    for index in found:
        judged = _judged(columns, index, features)
        values = [p for p in features if names_values(plain_name(columns.names[p]))]
        if not judged and len(values) == 1:
            judged = values  # of a long table
        if not judged:
            between = features[0] < index < features[-1]
            judged = features if len(alone) == 1 and not between else []
            judged = judged or [p for p in features if p == index - 1]
        if not judged:
            continue
        if index in roles.features:
            del roles.names[roles.features.index(index)]
            roles.features.remove(index)
        roles.qualities[index] = judged
        if _one_is_good(columns, index):
            roles.one_is_good.add(index)
        name = columns.names[index]
        roles.notes = [n for n in roles.notes if not n.startswith(f"column {name!r} holds no num")]
        whose = ", ".join(columns.names[p] for p in judged)[:80]
        instead = (
            f" (--exclude {quoted(name)} keeps bad ones, --label {quoted(name)} reads a label)"
        )
        roles.notes.append(f"column {name!r} is read as the quality of {whose}{instead}")


def _say_features(columns: Columns, roles: Roles, found: Sequence[int]) -> None:
    """Note which features are named as the quality of another, but are not read as it."""
    for index, name in zip(roles.features, roles.names, strict=True):
        others = [p for p in roles.features if p != index]
        if index not in found and (judged := _judged(columns, index, others)):
            roles.notes.append(
                f"column {name!r} is read as a feature, not as the quality of"
                f" {columns.names[judged[0]]}: its values do not say which are bad (--exclude"
                f" {quoted(name)} leaves it out)"
            )


def bad_rows(column: Any, one_is_good: bool = False) -> Flags:
    """Return which rows (n,) of a column of qualities say that a value is bad."""
    encoded = column.cast(pa.string()).dictionary_encode()
    words = [(text or "").strip().casefold() for text in encoded.dictionary.to_pylist()]
    good = _ONE if one_is_good else ()
    bad = np.array([*(word not in good and _is_bad(word) for word in words), False])
    codes = encoded.indices.fill_null(len(bad) - 1).to_numpy(zero_copy_only=False)
    rows: Flags = bad[codes]
    return rows


def _named_quality(columns: Columns, index: int) -> bool:
    match = _NAME.fullmatch(columns.names[index])
    return match is not None and not match["base"] and len(match["sure"] or "") > 1  # Q is a flow


def _is_quality(columns: Columns, index: int) -> bool:
    """Return whether the cells of a column are qualities, and its name does not say otherwise."""
    match = _NAME.fullmatch(columns.names[index])
    cells = {*columns.cells[index], *columns.seen.spread.get(index, ())} - {""}
    words = {cell.casefold() for cell in cells}
    if match is None or not words:
        return False
    if _one_is_good(columns, index):
        return True
    if match["sure"] and all(cell.removesuffix(".0").isdigit() for cell in cells):
        usual = [float(cell) for cell in columns.filled(index)]
        judges = any(names_values(plain_name(name)) for name in columns.names)
        if match["base"]:
            judges = bool(_judged(columns, index, range(len(columns.names))))
        good = {*_OPC_GOOD, *(_GOOD_BESIDE_A_VALUE if judges else ())}
        most = 2 * sum(number in good for number in usual) > len(usual)
        return most and max(map(float, cells)) <= _OPC_MOST
    flag = words & {"true", "false"}
    if flag and not re.search("valid|good", match[0].casefold()):
        return False
    beside = flag and any(names_values(plain_name(name)) for name in columns.names)
    told = any("good" in word or _BRACES.fullmatch(word) for word in words)
    if not (match["base"] or match["sure"] or beside or told):
        return False  # OK and NOK of the machine, or of what it made
    kinds = {_kind(word) for word in words}
    return "good" in kinds and "" not in kinds


def _one_is_good(columns: Columns, index: int) -> bool:
    """Return whether a column holds 1 for good values, and 0 or 2 for a few others."""
    cells = {*columns.cells[index], *columns.seen.spread.get(index, ())} - {""}
    if not _ONE_IS_GOOD.search(columns.names[index]) or not cells <= {*_ONE, *_OTHERS}:
        return False
    usual = columns.filled(index)
    return 2 * sum(cell in _ONE for cell in usual) > len(usual)


def _judged(columns: Columns, index: int, features: Sequence[int]) -> list[int]:
    """Return the features whose name is that of a column of qualities, as Temp of Temp_Q."""
    match = _NAME.fullmatch(columns.names[index])
    base = plain_name(match["base"]) if match else ""
    return [
        p for p in features
        if base and base in (name := plain_name(columns.names[p]), _VALUE.sub("", name))
    ]  # fmt: skip


@cache
def _kind(word: str) -> str:
    """Return what a word in lower case says: good, bad, doubtful, or nothing."""
    if (ua := _UA_CODE.fullmatch(word)) is not None:
        return ("good", "doubtful", "bad", "bad")[int(ua["code"], 16) >> 30]
    if (braces := _BRACES.fullmatch(word)) is not None:
        states = set(braces["states"].split(","))
        return next((kind for kind in ("bad", "doubtful", "good") if states & _NIAGARA[kind]), "")
    known = (("good", _GOOD), ("bad", _BAD), ("doubtful", _DOUBTFUL))
    return next((kind for kind, words in known if words.fullmatch(word)), "")


@cache
def _is_bad(word: str) -> bool:
    try:
        return float(word) < _OPC_DOUBTFUL
    except ValueError:
        return _kind(word) == "bad"
