"""Which model sets and rules of the champion a new bundle keeps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from datasets import Stream
from models.bundles.bundle import Bundle
from models.bundles.rules import Rule, RuleIndex
from models.fitting.options import FitOptions
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from training.data.preparation import Prepared
from training.fitting.carried_groups import kept_groups
from training.fitting.fitted import Fitted
from training.fitting.parallel_fit import Task

CHAMPION = [
    Rule("default_P2", "P2", ""),
    Rule("default_P6", "P6", ""),
    Rule("default_P9", "P9", ""),
    Rule("default"),
]


def fitted(groups: dict[str, list[str]], rules: list[Rule]) -> Fitted:
    times = np.datetime64("2026-01-01", "us") + np.arange(3) * np.timedelta64(1, "s")
    tasks = []
    for group, assets in groups.items():
        streams = [Stream(asset, None, times, np.zeros((3, 1)), None) for asset in assets]
        tasks.append(Task(group, Prepared(["x"], streams, [3] * len(streams)), FitOptions(),
                          ScoringPolicy()))  # fmt: skip
    sets = cast("dict[str, ModelSet]", dict.fromkeys(groups))
    return Fitted(tasks, [], sets, {}, {}, {}, rules)


def champion() -> Bundle:
    groups = [rule.group for rule in CHAMPION]
    return cast(Bundle, SimpleNamespace(rules=CHAMPION, groups=groups, model_set=str))


def test_a_stream_fitted_in_another_group_leaves_its_former_one() -> None:
    rules = [Rule("default_P7", "P7", ""), Rule("default_P7", "P6", ""), Rule("default")]
    new = fitted({"default": ["P1", "P2"], "default_P7": ["P6", "P7"]}, rules)
    found, kept = kept_groups(new, champion(), None)
    index = RuleIndex(found)
    served = {name: cast(Any, index.find(name, None, None)).group for name in ("P1", "P2", "P6")}
    assert served == {"P1": "default", "P2": "default", "P6": "default_P7"}
    assert set(kept) == {"default_P9"}, "P9 has sent nothing, so its model set stays"
    assert cast(Any, index.find("P9", None, None)).group == "default_P9"


def test_a_stream_too_short_to_be_fitted_keeps_its_group() -> None:
    rules = [Rule("default_P2", "P2", ""), Rule("default")]
    found, kept = kept_groups(fitted({"default": ["P1"]}, rules), champion(), None)
    assert cast(Any, RuleIndex(found).find("P2", None, None)).group == "default_P2"
    assert set(kept) == {"default_P2", "default_P6", "default_P9"}
