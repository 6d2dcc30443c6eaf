"""Rewrite times as people and programs write them, so that formats can read them.

Each rule is a regular expression and its replacement, which Python and Arrow (RE2) apply alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import pyarrow.compute as pc

#: 24:00, which often means the end of a day.
MIDNIGHT: Final = r"([ T])24([:.]00)"
#: Blanks that do not break a line, as spreadsheets write before AM.
_BLANKS: Final = ("[\u00a0\u202f]", " ")
#: AM and PM with points.
_HALF: Final = (r" ?([aApP])\. ?[mM]\.?$", r" \1m")
_TIME: Final = r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}[ T]+\d{1,2}[:.]\d\d"
#: Start and end of an interval: the start is taken.
_INTERVALS: Final = (
    (r"^(\d{4}-?\d\d-?\d\dT[^/\[]*)/\S+$", r"\1"),
    (rf"^({_TIME}\S*) +(?:-|–|—|to|until|bis|à|au) +\d.*$", r"\1"),
)
#: Zones with one meaning only: EST, CST or IST have several.
_ZONES: Final = (
    (r"(GMT[+-]\d{4}) \(.*\)$", r"\1"),  # JavaScript adds the zone's name
    # Java and Unix
    (r"(\d\d:\d\d:\d\d) ([A-Z]{3,4}|GMT[+-]\d\d:\d\d) (\d{4})$", r"\1 \3 \2"),
    (r"(\d) ?(?:UTC|GMT) ?([+-])(\d)$", r"\1\20\3:00"),
    (r"(\d) ?(?:UTC|GMT) ?([+-]\d\d):?(\d\d)?$", r"\1\2:\3"),
    (r"([+-]\d\d):$", r"\1:00"),
    (r"(\d)Z([+-]\d\d:?\d\d)$", r"\1\2"),  # Mosquitto writes both
    (r"(:\d\d(?:\.\d+)? ?[+-]\d\d:?\d\d) [A-Z]{3,4}$", r"\1"),  # Go adds the zone's name
    *(
        (rf"(\d(?: ?[aApP][mM])?) ?\(?(?:{names})\)?$", rf"\1{offset}")
        for names, offset in (
            ("WET|WEZ", "+00:00"), ("CET|MEZ|WEST|WESZ", "+01:00"),
            ("CEST|MESZ|EET|OEZ", "+02:00"), ("EEST|OESZ|MSK", "+03:00"), ("JST", "+09:00"),
        )
    ),
)  # fmt: skip
#: Names of months in German, French, Spanish, Italian, Portuguese and Dutch that are not English.
_MONTHS: Final = {
    "Jan": "jänner|januar|janv|janvier|ene|enero|gen|gennaio|janeiro|januari",
    "Feb": "februar|févr?|fevr?|février|febrero|febbraio|fevereiro|februari",
    "Mar": "märz?|mrz|maerz|mars|marzo|março|mrt|maart",
    "Apr": "avr|avril|abr|abril|aprile",
    "May": "mai|mayo|mag|maggio|maio|mei",
    "Jun": "juni|juin|junio|giu|giugno|junho",
    "Jul": "juli|juil|juillet|julio|lug|luglio|julho",
    "Aug": "août|aout|ago|agosto|augustus",
    "Sep": "sept|septembre|septiembre|set|settembre|setembro",
    "Oct": "okt|oktober|octobre|octubre|ott|ottobre|outubro|out",
    "Nov": "novembre|noviembre|novembro",
    "Dec": "dez|dezember|déc|décembre|dic|diciembre|dicembre|dezembro",
}
_MONTH_RULES: Final = (
    *((rf"(?i)(\d\.?[ -])(?:{names})\.?([ -]\d)", rf"\1{month}\2")
      for month, names in _MONTHS.items()),
    # the point after an ordinal number or a short name, as in 3. Mar. 2024
    (r"(\d)\.? ([A-Z][a-z]{2})\.? (\d)", r"\1 \2 \3"),
    # April and others are the same in German, where the names of other months become short above
    (r"(\d)\. ([A-Z][a-z]{2})[a-z]+ (\d)", r"\1 \2 \3"),
)  # fmt: skip
#: Around a time: brackets, apostrophes, the prefix of a PLC (DT#), and the zone's name behind an
#: offset (Java).
_AROUND: Final = (
    (r"^\[([^\[\]]*)\]$", r"\1"),
    (r"^'([^']*)'$", r"\1"),
    (r"^L?DTL?#", ""),
    (r"(\d\dZ|[+-]\d\d:?\d\d)\[[A-Za-z_/+-]+\d*\]$", r"\1"),
)
#: Years, months, days and times of day in Chinese, Japanese and Korean.
_EAST_ASIAN: Final = (
    (r"^(\d{4})[年년] ?(\d{1,2})[月월] ?(\d{1,2})[日일]", r"\1-\2-\3"),
    (r"(\d{1,2})[时時시] ?(\d{1,2})[分분] ?(\d{1,2}(?:\.\d+)?)[秒초]$", r"\1:\2:\3"),
    (r"(?:上午|午前|오전) ?(\d{1,2}:[\d:.]+)$", r"\1 AM"),
    (r"(?:下午|午後|오후) ?(\d{1,2}:[\d:.]+)$", r"\1 PM"),
    (r"^(\d{4}-\d{1,2}-\d{1,2})(\d{1,2}:\d\d)", r"\1 \2"),
)
#: Date and time with one sign throughout, as Db2 and names of files have them.
_DASHED: Final = (
    r"^(\d{4}-\d\d-\d\d)[-_](\d\d)[-.:](\d\d)[-.:](\d\d)(\.\d+)?$",
    r"\1 \2:\3:\4\5",
)
#: Between date and time, as Kibana writes it.
_AT: Final = (r"(\d{4}) @ (\d)", r"\1 \2")
_RULES: Final = (
    _BLANKS, *_AROUND, *_EAST_ASIAN, _DASHED, _HALF, _AT, *_INTERVALS, *_ZONES, *_MONTH_RULES,
)  # fmt: skip
#: What texts that some rule may change have, for a quick look.
_ODD: Final = (
    "[\u00a0\u202f]|[A-Za-zÀ-ÿ]{3}|[mM]\\.?$|(?:UTC|GMT) ?[+-]|T[^/]*/| (?:-|–|—|to|à|au) |Z[+-]"
    r"|[\['#年년前後]|[上下]午|오[전후]|\d\d[-_]\d\d[-.:]\d\d[-.:]\d\d"
)


def tidy(text: str) -> str:
    """Return a time as formats can read it."""
    if not re.search(_ODD, text):
        return text
    for pattern, replacement in _RULES:
        text = re.sub(pattern, re.sub(r"\\(\d)", r"\\g<\1>", replacement), text)
    return text


def tidied(column: Any) -> Any:
    """Return a column of times (pyarrow, text) as formats can read it."""
    if not pc.any(pc.match_substring_regex(column, _ODD)).as_py():
        return column
    for pattern, replacement in _RULES:
        column = pc.replace_substring_regex(column, pattern, replacement)
    return column


def are_intervals(texts: Iterable[str]) -> bool:
    """Return whether any of the texts is an interval, of which the start is taken."""
    return any(re.search(pattern, text) for text in texts for pattern, _ in _INTERVALS)
