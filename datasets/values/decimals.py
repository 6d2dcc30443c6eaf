"""Find the decimal sign of each column of texts: a comma or a point may separate thousands too.

A column decides for itself where it can: ``1,5``, ``2.003,75`` and ``1.234.567`` have a decimal
comma whatever stands elsewhere. ``1,013`` may be read in two ways. Beside whole numbers that
lead up to it, such as 987, it is a thousand; otherwise the other columns decide, or the caller.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from datasets.unreadable import ONE_OF
from datasets.values.numbers import plain_exponent, plain_sign

_SIGNS: Final = (".", ",")
_NAMES: Final = {".": "point", ",": "comma"}
_BLANK: Final = r"\s'\u2019"
_WHOLE: Final = re.compile(r"[+-]?\d+")
#: sign -> a number that has it as its decimal sign, if anything.
_DECIMAL: Final = {
    sign: re.compile(
        rf"[+-]?(?:\d*|\d{{1,3}}(?:[{_BLANK}{other}]\d{{3}})+)\{sign}\d*(?:[eE][+-]?\d+)?"
    )
    for sign, other in ((".", ","), (",", "."))
}
#: sign -> a number whose thousands it may separate, and one in which it can do nothing else.
_THOUSAND: Final = {sign: re.compile(rf"[+-]?[1-9]\d{{0,2}}\{sign}\d{{3}}") for sign in _SIGNS}
_MILLION: Final = {
    sign: re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:\{sign}\d{{3}}){{2,}}") for sign in _SIGNS
}
#: Whole numbers from here on may lead up to a thousand.
_HUNDREDS: Final = 100
#: Numbers that show that a sign separates thousands in a column, though decimals in others.
_FEW: Final = 3


def _other(sign: str) -> str:
    return "," if sign == "." else "."


@dataclass(slots=True)
class _Column:
    """Cells of one column by what they say about its decimal sign.

    Parameters
    ----------
    sure : sign -> cells that have this decimal sign.
    either : sign -> cells in which the sign separates decimals or thousands, such as 1,013.
    whole : the sizes of whole numbers.
    """

    sure: dict[str, set[str]] = field(default_factory=lambda: {sign: set() for sign in _SIGNS})
    either: dict[str, set[str]] = field(default_factory=lambda: {sign: set() for sign in _SIGNS})
    whole: set[int] = field(default_factory=set)

    def add(self, cell: str) -> None:
        if _WHOLE.fullmatch(cell):
            self.whole.add(abs(int(cell[:20])))
            return
        for sign in _SIGNS:
            if sign not in cell:
                continue
            if _THOUSAND[sign].fullmatch(cell):
                self.either[sign].add(cell)
            elif _MILLION[sign].fullmatch(cell):
                self.sure[_other(sign)].add(cell)
            elif len(cell) > 1 and _DECIMAL[sign].fullmatch(plain_exponent(cell)):
                self.sure[sign].add(cell)

    def known(self) -> list[str]:
        """Return the decimal signs that more than a few cells can only have."""
        count = sum(len(self.sure[sign]) + len(self.either[sign]) for sign in _SIGNS)
        return [s for s in _SIGNS if self.sure[s] and ONE_OF * len(self.sure[s]) > count]

    def groups(self, sign: str, known: Collection[str]) -> bool:
        """Return whether ``sign`` separates thousands here, given the decimal signs in the file."""
        other = _other(sign)
        if any(sign in cell for cell in self.sure[other]):
            return other in self.known()
        sole = not any(self.sure.values()) and not self.either[other] and self.either[sign]
        few = sign in known and len(self.either[sign]) < _FEW
        return bool(sole) and not few and self.follows(sign)

    def follows(self, sign: str) -> bool:
        """Return whether numbers with ``sign``, as thousands, go on where whole numbers end."""
        if not self.whole or not _HUNDREDS <= max(self.whole) < 1000:
            return False
        return min(_size(cell) for cell in self.either[sign]) <= 2 * max(self.whole)


class Decimals:
    """The decimal signs of a file's columns.

    Parameters
    ----------
    columns : sequence of (collection of str or None)
        The first cells of each column, stripped and without units; None: it holds no text.
    delimiter : str
        The file's separator.
    given : str, optional
        The caller's decimal sign, for columns that do not decide.

    Attributes
    ----------
    usual : the sign of most columns.
    problems : column -> why its sign is ambiguous.
    thousands : column -> a cell in which the other sign is taken to separate thousands.
    """

    def __init__(
        self,
        columns: Sequence[Collection[str] | None] = (),
        delimiter: str = ";",
        given: str | None = None,
    ) -> None:
        self._columns = [_Column() for _ in columns]
        self._typed = {index for index, cells in enumerate(columns) if cells is None}
        self._delimiter = delimiter
        self.given = given
        self._settled = False
        self.add({index: cells for index, cells in enumerate(columns) if cells is not None})

    def add(self, cells: Mapping[int, Collection[str]]) -> None:
        """Take further cells of some columns, by index, into account; not of typed ones."""
        if self._settled:
            return
        for index, found in cells.items():
            for cell in set() if index in self._typed else set(found):
                self._columns[index].add(plain_sign(cell))
        self._decide()

    def sign(self, index: int) -> str:
        """Return a column's decimal sign."""
        return self._signs[index] if index < len(self._signs) else "."

    def of(self, columns: Sequence[int]) -> Decimals:
        """Return the signs of some columns, by index, which further cells do not change."""
        found = Decimals(given=self.given)
        found._signs = [self.sign(index) for index in columns]
        found.usual = self.usual
        for own, whole in ((found.problems, self.problems), (found.thousands, self.thousands)):
            own.update({i: whole[index] for i, index in enumerate(columns) if index in whole})
        found._settled = True
        return found

    def _decide(self) -> None:
        known = [column.known() for column in self._columns]
        self._known = {signs[0] for signs in known if len(signs) == 1}
        self._grouped = {s for s in _SIGNS for c in self._columns if c.groups(s, self._known)}
        self._known |= {_other(sign) for sign in self._grouped}
        self.problems: dict[int, str] = {}
        self.thousands: dict[int, str] = {}
        found: list[str | None] = []
        for index, (column, signs) in enumerate(zip(self._columns, known, strict=True)):
            either = [sign for sign in _SIGNS if column.either[sign]]
            sign: str | None = None
            if len(signs) == 1:
                sign = signs[0]
            elif (signs or either) and self.given is not None:
                sign = self.given
            elif signs or len(either) == 2:
                comma, point = (min(column.sure[s] or column.either[s]) for s in (",", "."))
                self.problems[index] = f"holds both {comma!r} and {point!r}"
            elif either:
                sign = self._judged(column, either[0])
                if sign is None:
                    self.problems[index] = self._doubt(column, either[0])
            if sign and not column.sure[sign] and (cells := column.either[_other(sign)]):
                self.thousands[index] = min(cells)
            found.append(sign)
        default = self.given or ("," if self._known == {","} else ".")
        self._signs = ["." if index in self._typed else sign or default
                       for index, sign in enumerate(found)]  # fmt: skip
        commas, points = found.count(","), found.count(".")
        self.usual = default if commas == points else "," if commas > points else "."

    def _judged(self, column: _Column, sign: str) -> str | None:
        """Return the decimal sign of a column such as 1,013; 2,750; None if it is ambiguous."""
        other = _other(sign)
        if column.groups(sign, self._known):
            return other
        if column.follows(sign):
            return None
        if self._known == {sign}:
            return sign
        if self._known == {other} and (sign in self._grouped or self._delimiter == sign):
            return other  # as in an English file: 1,234,567 elsewhere, or commas between columns
        beside = any(column.either[other] for column in self._columns)
        if not self._known and not beside and (sign == "." or self._delimiter == ";"):
            return sign
        return None

    def _doubt(self, column: _Column, sign: str) -> str:
        cell, other = min(column.either[sign]), _other(sign)
        cells = (c for col in self._columns for c in (*col.sure[other], *col.either[other]))
        beside = min(cells, default=None)
        doubt = f"the {_NAMES[sign]} in {cell!r} may separate thousands or decimals"
        return doubt if beside is None else f"{doubt} (another column holds {beside!r})"


def _size(cell: str) -> int:
    return int(re.sub(r"\D", "", cell))
