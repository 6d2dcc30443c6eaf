"""Find a stream's group: the first matching rule decides.

A bundle may hold thousands of groups, each with its own rule. Rules are therefore indexed by the
literal prefix of their patterns (the whole pattern if it has no wildcard), and only rules with the
stream's prefix are tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, ClassVar, Final

from models.scoring.stored import Stored

_WILD: Final = re.compile(r"[*?\[]")

#: Length of the literal prefix; None if the whole pattern is literal.
_Length = int | None
_Shape = tuple[_Length, _Length]
_Key = tuple[_Shape, str | None, str, str]
#: The rule with its position among all, and the matchers of its patterns.
_Entry = tuple[int, "Rule", Callable[[str], Any], Callable[[str], Any]]


@dataclass(frozen=True, slots=True)
class Rule(Stored):
    """Assign streams to a group by patterns (``*``, ``?``) on their ids.

    A rule with ``feature`` is for single-feature streams of that feature, a rule without it for
    grouped readings.
    """

    KEYS: ClassVar = ("group", "asset_id", "sensor_id", "feature")

    group: str
    asset_id: str = "*"
    sensor_id: str = "*"
    feature: str | None = None


class RuleIndex:
    """Find the first rule that matches a stream."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._buckets: dict[_Key, list[_Entry]] = {}
        shapes: dict[_Shape, None] = {}
        for order, rule in enumerate(rules):
            asset, sensor = _literal(rule.asset_id), _literal(rule.sensor_id)
            shape = (asset[1], sensor[1])
            shapes[shape] = None
            entry = (order, rule, _matcher(rule.asset_id), _matcher(rule.sensor_id))
            self._buckets.setdefault((shape, rule.feature, asset[0], sensor[0]), []).append(entry)
        self._shapes = list(shapes)

    def find(self, asset_id: str, sensor_id: str | None, feature: str | None) -> Rule | None:
        """Return the first rule that matches, or None.

        Parameters
        ----------
        asset_id, sensor_id, feature
            Those of :meth:`models.bundles.bundle.Bundle.group_for`.
        """
        best: tuple[int, Rule] | None = None
        sensor = sensor_id or ""
        for shape in self._shapes:
            # a slice up to None is the whole id
            key = (shape, feature, asset_id[: shape[0]], sensor[: shape[1]])
            for order, rule, matches_asset, matches_sensor in self._buckets.get(key, ()):
                if best is not None and order > best[0]:
                    break
                if matches_asset(asset_id) and matches_sensor(sensor):
                    best = (order, rule)
                    break
        return None if best is None else best[1]


def _literal(pattern: str) -> tuple[str, _Length]:
    """Return a pattern's literal prefix and its length; None if the whole pattern is literal."""
    wild = _WILD.search(pattern)
    return (pattern, None) if wild is None else (pattern[: wild.start()], wild.start())


def _matcher(pattern: str) -> Callable[[str], Any]:
    if _WILD.search(pattern) is None:
        return pattern.__eq__
    return re.compile(translate(pattern)).match
