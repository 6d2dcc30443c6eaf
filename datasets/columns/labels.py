"""Interpret labels of all kinds as faulty, normal or unknown; no label is an error."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from datasets.columns.chunk_reader import Chunk
from datasets.format import FileFormat
from datasets.values.coded_texts import distinct

UNKNOWN: Final = -1  # neither normal (0) nor faulty (1)
_NORMAL: Final = frozenset(
    ("normal", "natural", "ok", "good", "healthy", "no", "false", "none", "nominal", "benign",
     "regular", "n", "f", "no fault", "no_fault", "nofault", "fault free", "fault-free",
     "no failure", "negative", "inlier", "io", "i.o.", "normaal", "gut", "non", "nein",
     "background", "baseline", "running", "run", "operational", "neg", "betrieb", "in betrieb",
     "läuft", "laeuft", "marche", "en marche")
)  # fmt: skip
_FAULTY: Final = frozenset(
    ("true", "yes", "anomaly", "anomalous", "abnormal", "fault", "faulty", "failure", "attack",
     "outlier", "y", "t", "bad", "broken", "defect", "positive", "pos", "ja", "oui", "nio",
     "n.i.o.", "nok", "recovering", "damaged", "degraded", "critical", "alarm", "warning", "error",
     "failed", "tripped", "störung", "stoerung", "fehler", "defekt", "ausfall", "panne", "défaut",
     "fallo", "guasto", "storing")
)  # fmt: skip
#: Those that say how a machine is, and not what a switch or a measurement's quality is.
_SURELY_NORMAL: Final = frozenset(
    ("normal", "natural", "healthy", "nominal", "regular", "benign", "no fault", "no_fault",
     "nofault", "fault free", "fault-free", "no failure")
)  # fmt: skip
_SURELY_FAULTY: Final = frozenset(
    ("anomaly", "anomalous", "abnormal", "fault", "faulty", "failure", "failed", "attack", "broken",
     "defect", "damaged", "degraded", "recovering", "störung", "stoerung", "defekt", "ausfall",
     "panne", "défaut", "fallo", "guasto", "storing")
)  # fmt: skip
#: States of a switch: normal beside a further state, such as Fault.
_SWITCH: Final = frozenset(
    ("on", "off", "ein", "aus", "start", "stop", "started", "stopped", "an", "aan", "uit")
)
_UNKNOWN: Final = frozenset(
    ("", "nan", "na", "n/a", "null", "none given", "unknown", "unlabelled", "unlabeled", "?", "-")
)

#: Names, in lower case without punctuation, that can only mean a label.
_LABEL: Final = re.compile(
    "(is|has)?(anomal(y|ies|ous)|outliers?|abnormal)(label|flag|state|status|class|type)?|"
    "is(fault(y)?|failure|failed|defect(ive)?|broken|attack|label)|(machine|equipment)failure|"
    "((anomal|attack|defect|fail|fault|label)\\w*)?groundtruth(label)?|"
    "(fault|failure|attack|defect|true|target)(label|lable)s?|"
    "normal(attack|abnormal)|"
    "att(ack)?flag|attack(state|status|class|type|id|no|nr|number)?"  # which nothing measures
)
#: Names of a label, or of a signal of the plant.
_MAY_BE: Final = re.compile(
    "(fault|failure|defect|att|alarm|error|event|anomal(y|ous))"
    "(flag|state|status|type|code|class|id|no|nr|number)?|fail(ure|s)?(within|in|innext|next)\\d+\\w*|"
    "faulty|faults|failures|failed|fails?|passfail|broken|defective|changepoint|target|class|truth|"
    "gt|y|attack\\w+|\\w*groundtruth"  # a reference measurement has one, too
)
#: Maximum number of grades of a label.
_GRADES: Final = 20
#: Largest share of faults among texts that nobody names as the label.
_MOST: Final = 0.8


def is_label(name: str, cells: Collection[str]) -> bool:
    """Return whether a column is a label by its bare name, and its cells are no scores.

    Parameters
    ----------
    name
        The name in lower case without punctuation.
    cells
        Cells of the column that are not missing.
    """
    return _LABEL.fullmatch(name) is not None and _graded(cells)


def is_part_of(label: str, name: str, cells: Collection[str]) -> bool:
    """Return whether a column is a further label, named as a part of it: attack_P1 beside attack.

    Parameters
    ----------
    label
        The name of the label; only one that can mean nothing else has such parts.
    name
        The column's name.
    cells
        Its cells that are not missing.
    """
    whole = re.sub(r"[\W_]+", "", label).casefold()
    if whole not in ("label", "labels") and not is_label(whole, ()):
        return False
    rest = name.casefold().removeprefix(label.casefold())
    return rest != name.casefold() and bool(re.match(r"[\W_\d]", rest)) and _graded(cells)


def may_be_label(name: str, cells: Collection[str]) -> bool:
    """Return whether a column may be a label; see :func:`is_label`."""
    known = _MAY_BE.fullmatch(name) or _LABEL.fullmatch(name)
    return known is not None and len(cells) > 0 and (_graded(cells) or bool(_LABEL.fullmatch(name)))


def are_conditions(cells: Collection[str]) -> bool:
    """Return whether a column's texts are few, and some mean normal, and others faulty.

    A file of a machine that failed throughout has none that means normal.
    """
    words = {cell.casefold() for cell in cells}
    both = bool(words & (_NORMAL | _SWITCH)) and bool(words & _FAULTY)
    return len(words) <= _GRADES and (both or (bool(words) and words <= _SURELY_FAULTY))


def are_labels(cells: Collection[str]) -> bool:
    """Return whether a column's texts can only tell faults, as NORMAL, BROKEN and RECOVERING do.

    What nearly all cells say is how a machine works, whatever it is called.
    """
    counts = Counter(cell.casefold() for cell in cells)
    words = set(counts)
    known = words <= _NORMAL | _FAULTY | _UNKNOWN
    told = known and bool(words & _SURELY_NORMAL) and bool(words & _SURELY_FAULTY)
    return told and sum(counts[word] for word in words & _FAULTY) <= _MOST * counts.total()


def _graded(cells: Collection[str]) -> bool:
    """Return whether all numbers among the cells are whole, and few."""
    numbers = set()
    for cell in set(cells):
        try:
            numbers.add(float(cell))
        except ValueError:
            continue
    return len(numbers) <= _GRADES and all(number.is_integer() for number in numbers)


def read_labels(counts: Mapping[str, int], name: str) -> tuple[dict[str, int], list[str]]:
    """Return the meaning of each label text (1 faulty, 0 normal, -1 unknown), and notes.

    Graded labels (0, 1, 2, ...) are faulty above 0; beside 0, negative numbers are codes for
    "unknown", and so are those below -1 beside 1 alone. Of -1 and 1, the rarer is faulty. A word is
    normal if it is in a known list, or is on or off beside a further state, and faulty otherwise;
    if no label means normal, not all words are known to mean faulty, and most readings have a
    label, all are unknown.
    """
    meaning: dict[str, int] = {}
    numbers: dict[str, float] = {}
    words: list[str] = []
    for text in counts:
        word = text.strip().casefold()
        if word in _UNKNOWN:
            meaning[text] = UNKNOWN
            continue
        try:
            numbers[text] = float(word)
        except ValueError:
            words.append(text)
    notes: list[str] = []
    meaning |= _numbers(numbers, counts, name, notes)
    if words:
        blank = 2 * sum(counts[text] for text in meaning if not text.strip()) > sum(counts.values())
        meaning |= _words(words, meaning, name, notes, blank)
    unknown = sum(counts[text] for text, value in meaning.items() if value == UNKNOWN)
    if 0 < unknown < sum(counts.values()):
        notes.append(f"{name}: {unknown:,} readings have no label: unknown, not normal")
    faulty, normal = (sum(counts[t] for t, v in meaning.items() if v == kind) for kind in (1, 0))
    if faulty > normal > 0:
        notes.append(
            f"{name}: most readings are labelled as faults: if these are states of a machine,"
            " --exclude the column"
        )
    return meaning, notes


def _numbers(
    numbers: Mapping[str, float], counts: Mapping[str, int], name: str, notes: list[str]
) -> dict[str, int]:
    values = set(numbers.values())
    if values <= {0.0, 1.0}:
        return {text: int(value) for text, value in numbers.items()}
    if values == {-1.0, 1.0}:
        often = {v: sum(counts[t] for t in numbers if numbers[t] == v) for v in values}
        fault = 1.0 if often[1.0] < often[-1.0] else -1.0
        notes.append(
            f"{name}: of -1 and 1, the rarer one is the fault: {fault:g} ({int(often[fault]):,}"
            " readings)"
        )
        return {text: int(value == fault) for text, value in numbers.items()}
    if values == {-1.0}:
        return dict.fromkeys(numbers, UNKNOWN)
    if 0.0 not in values and not (1.0 in values and all(v < -1.0 for v in values - {1.0})):
        shown = ", ".join(f"{value:g}" for value in sorted(values)[:5])
        notes.append(f"{name}: not used, since {shown} do not include 0, which means normal")
        return dict.fromkeys(numbers, UNKNOWN)
    unknown = {value for value in values if value < 0.0}
    grades = ", ".join(f"{v:g}" for v in sorted(values - unknown - {0.0})[:9]) or "none"
    listed = "".join(f", {v:g} unknown" for v in sorted(unknown)[:3])
    normal = "0" if 0.0 in values else "none"
    notes.append(f"{name}: graded labels: {normal} is normal, {grades} are faults{listed}")
    return {
        text: UNKNOWN if value in unknown else int(value > 0.0) for text, value in numbers.items()
    }


def _words(
    words: list[str], numbers: Mapping[str, int], name: str, notes: list[str], blank: bool
) -> dict[str, int]:
    """Return what words mean beside numbers, whose meaning is known, or most of them ``blank``."""
    known = {text: value for text, value in numbers.items() if value != UNKNOWN}
    normal = [text for text in words if text.strip().casefold() in _NORMAL]
    switch = [text for text in words if text.strip().casefold() in _SWITCH]
    if set(words) - {*normal, *switch}:
        normal += switch
    faulty = [text for text in words if text not in normal]
    sure = all(text.strip().casefold() in _FAULTY for text in faulty)
    if not (normal or known or blank or (faulty and sure)):
        shown = ", ".join(sorted(words)[:5])
        notes.append(f"{name}: not used, since none of its texts ({shown}) means normal")
        return dict.fromkeys(words, UNKNOWN)
    if not sure or not {t.strip().casefold() for t in words} <= {"true", "false"}:
        faults = [*faulty, *(text for text, value in known.items() if value)]
        normals = [*normal, *(text for text, value in known.items() if not value)]
        listed = ", ".join(repr(text)[:40] for text in sorted(faults)[:5]) or "nothing"
        held = ", ".join(repr(text)[:40] for text in sorted(normals)[:5]) or "nothing"
        notes.append(f"{name}: {listed} taken as faults, {held} as normal")
    return {text: int(text in faulty) for text in words}


def labels_of(
    chunks: Sequence[Chunk], form: FileFormat | None
) -> tuple[list[npt.NDArray[np.int8]] | None, list[str]]:
    """Return the labels of each chunk, and notes on their interpretation."""
    parts = [chunk.labels for chunk in chunks if chunk.labels is not None]
    if not parts:
        return None, []
    codes, values = distinct(parts)
    by_value = label_counts(chunks)
    name = (form.role("label") if form is not None else None) or "label"
    meaning, notes = read_labels(by_value, name)
    if not set(meaning.values()) & {0, 1}:
        return None, notes
    table = np.array([*(meaning[value] for value in values), -1], np.int8)
    return np.split(table[codes], np.cumsum([len(p.codes) for p in parts])[:-1]), notes


def label_counts(chunks: Sequence[Chunk]) -> dict[str, int]:
    """Return the number of rows with each text of the labels; empty without labels."""
    parts = [chunk.labels for chunk in chunks if chunk.labels is not None]
    if not parts:
        return {}
    codes, values = distinct(parts)
    counts = np.bincount(codes + 1, minlength=len(values) + 1)
    by_value = {value: int(n) for value, n in zip(values, counts[1:], strict=True)}
    if counts[0]:
        by_value[""] = by_value.get("", 0) + int(counts[0])
    return by_value
