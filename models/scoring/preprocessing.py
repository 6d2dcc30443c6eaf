"""Preprocess: feature order, robust and drift-tolerant scales, baselines, missing values.

Two kinds of plant need opposite treatment, so one option names which it is:

``drift="normal"``: sensors may wander slowly and that is no fault. Each feature is divided by
``sqrt(spread^2 + (drift * horizon)^2)``: a wander seen in training and carried on over
``horizon`` readings stays inside the scale. How many readings those are, if any, is decided on the
data (:mod:`models.fitting.tolerance`).

``drift="fault"``: wander IS the fault (wear). No such allowance; instead each stream may have its
own baseline, the mean of its first readings, subtracted from then on.

Features that follow a common load are alike as long as nothing is wrong, and a fault is what
breaks the likeness. The scaled features are therefore decorrelated by the symmetric (ZCA-cor)
transform ``R^(-1/2)``, the one that stays closest to the features themselves, so that shares
still mean features (Kessy, Lewin, Strimmer: Optimal whitening, Am. Stat. 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from errors import MissingFeatures
from models.detectors.base import Array
from models.scoring.conditional_mean import expected
from models.scoring.conditions import Conditions
from models.scoring.counters import Counters
from models.scoring.garbage import Garbage
from models.scoring.standing import Standing

Floats = NDArray[np.float64]

#: Readings whose mean is a stream's baseline.
BASELINE_READINGS: Final = 20
#: Scaled values are clipped here, so that no square overflows.
FURTHEST: Final = 1e6
#: No level lies so many of the group's spreads from its centre; an error code does.
IMPOSSIBLE: Final = 1000.0


def _nothing(features: Mapping[str, float]) -> tuple[float, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Turn readings into rows for the detectors.

    Parameters
    ----------
    names : features used, in the detectors' order.
    ignored : features known from training but not among ``names``, since they hardly ever moved.
    center, scale, spread : (d,) median, divisor and robust standard deviation, own units.
    mix : (d, d) decorrelates the scaled features; None: they are left as they are.
    drift_mode : "normal" or "fault".
    baseline : readings that a stream's own baseline is the mean of; 0: none.
    interval : median seconds between readings; None if trained without times.
    missing : "refuse" or "impute"; ``max_imputed`` features a reading at most.
    limits : feature -> (min, max) that are physically possible, either may be None.
    standing : what to make of it when one of ``ignored`` moves; None: nothing.
    garbage : values of ``names`` that no sensor measured; None: all are taken as measured.
    nulls : feature -> the codes that stood for "not measured" in training: as good as missing.
    counters : features that only rise, used as their rate; all else here is about that. None: none.
    conditions : operating conditions of ``names``; all else here is about readings as they would
        read in the usual one. None: there is one normal.
    """

    names: tuple[str, ...]
    ignored: tuple[str, ...]
    center: Floats
    scale: Floats
    spread: Floats
    mix: Floats | None
    drift_mode: str
    baseline: int
    interval: float | None
    missing: str = "refuse"
    max_imputed: int = 0
    limits: Mapping[str, tuple[float | None, float | None]] | None = None
    standing: Standing | None = None
    garbage: Garbage | None = None
    nulls: Mapping[str, tuple[float, ...]] | None = None
    conditions: Conditions | None = None
    counters: Counters | None = None
    known: frozenset[str] = field(init=False, repr=False)
    possible: tuple[Floats, Floats] = field(init=False, repr=False, compare=False)
    _pick: Callable[[Mapping[str, float]], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", frozenset((*self.names, *self.ignored)))
        with np.errstate(over="ignore"):
            furthest = IMPOSSIBLE * self.spread
            bounds = self.center - furthest, self.center + furthest
        object.__setattr__(self, "possible", bounds)  # where a level can lie
        pick = itemgetter(*self.names) if self.names else _nothing  # it is pickled
        object.__setattr__(self, "_pick", pick)

    def pick(self, features: Mapping[str, float]) -> Sequence[float]:
        """Return the values in order; KeyError where one is missing.

        The fast way of :meth:`row`.
        """
        found = self._pick(features)
        return (found,) if len(self.names) == 1 else found

    def picks(self, readings: Iterable[Mapping[str, float]]) -> list[Sequence[float]]:
        """Return :meth:`pick` of each of many readings."""
        found = map(self._pick, readings)
        return [(value,) for value in found] if len(self.names) == 1 else list(found)

    def scaled(self, values: Array) -> Floats:
        """Scale readings ``(n, d)`` in own units to rows ``(n, d)``."""
        with np.errstate(over="ignore"):
            out: Floats = np.asarray(values, np.float64) - self.center
            out /= self.scale
        out.clip(-FURTHEST, FURTHEST, out)
        return out if self.mix is None else out @ self.mix

    def row(
        self, features: Mapping[str, float], excused: Collection[str] = ()
    ) -> tuple[list[float], list[str]]:
        """Return one reading's values in order, and the names of those imputed.

        Imputed is what the features that are there lead to expect of those that are not, the
        median where they say nothing: constants of the bundle, so that a window read back from
        stored readings is the same. A median among readings of full load would be an anomaly.

        Parameters
        ----------
        features
            Those that are there.
        excused
            Features that may be absent whatever the policy: rates of counters that were sent.

        Raises
        ------
        MissingFeatures
            Naming the features, when the policy does not allow for them.
        """
        absent = [name for name in self.names if name not in features]
        lacking = [name for name in absent if name not in excused]
        if lacking and (self.missing != "impute" or len(lacking) > self.max_imputed):
            shown = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
            raise MissingFeatures(
                f"features: {len(lacking)} of {len(self.names)} missing: {shown}",
                field=f"features.{lacking[0]}",
            )
        if not absent:
            return [features[name] for name in self.names], absent
        here = np.array([name in features for name in self.names])
        received = np.array([features.get(name, np.nan) for name in self.names], np.float64)
        values, place = received, np.zeros(1, np.intp)
        if self.conditions is not None:
            place[0] = self.conditions.guess(received)
            values = self.conditions.restated(received[None], place)[0]
        with np.errstate(over="ignore"):
            z = np.where(here, (values - self.center) / self.scale, 0.0)
        told = self.center + self.scale * expected(z[None], self.mix, here[None])[0]
        if self.conditions is not None:
            told = self.conditions.original(told[None], place)[0]
        return np.where(here, received, told).tolist(), absent

    def outside(self, features: Mapping[str, float]) -> list[str]:
        """Return the features whose value is physically impossible."""
        out = []
        for name, (least, most) in (self.limits or {}).items():
            value = features.get(name)
            if value is not None and (
                (least is not None and value < least) or (most is not None and value > most)
            ):
                out.append(name)
        return out

    def measured(self, features: Mapping[str, float]) -> Mapping[str, float]:
        """Return the features without those whose value is a code for "not measured"."""
        nulls = self.nulls
        if not nulls or not any(features.get(name) in codes for name, codes in nulls.items()):
            return features
        return {k: v for k, v in features.items() if v not in nulls.get(k, ())}

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON.

        The keys are those of stored bundles, whatever the attributes are called.
        """
        return {
            "names": list(self.names),
            "ignored": list(self.ignored),
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "spread": self.spread.tolist(),
            "mix": None if self.mix is None else self.mix.tolist(),
            "drift_mode": self.drift_mode,
            "baseline": self.baseline,
            "interval": self.interval,
            "missing": self.missing,
            "max_imputed": self.max_imputed,
            "limits": {name: list(pair) for name, pair in (self.limits or {}).items()},
            "standing": None if self.standing is None else self.standing.to_dict(),
            "garbage": None if self.garbage is None else self.garbage.to_dict(),
            "nulls": {name: list(codes) for name, codes in (self.nulls or {}).items()},
            "conditions": None if self.conditions is None else self.conditions.to_dict(),
            "counters": None if self.counters is None else self.counters.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read what :meth:`to_dict` returned; what later releases added may be absent."""
        mix = data.get("mix")
        limits = data.get("limits") or {}
        standing, garbage = data.get("standing"), data.get("garbage")
        nulls, conditions = data.get("nulls") or {}, data.get("conditions")
        counters = data.get("counters")
        return cls(
            names=tuple(data["names"]),
            ignored=tuple(data.get("ignored") or ()),
            center=np.array(data["center"], np.float64),
            scale=np.array(data["scale"], np.float64),
            spread=np.array(data["spread"], np.float64),
            mix=None if mix is None else np.array(mix, np.float64),
            drift_mode=data["drift_mode"],
            baseline=int(data["baseline"]),
            interval=data["interval"],
            missing=data.get("missing", "refuse"),
            max_imputed=int(data.get("max_imputed", 0)),
            limits={name: (pair[0], pair[1]) for name, pair in limits.items()},
            standing=None if standing is None else Standing.from_dict(standing),
            garbage=None if garbage is None else Garbage.from_dict(garbage),
            nulls={name: tuple(codes) for name, codes in nulls.items()},
            conditions=None if conditions is None else Conditions.from_dict(conditions),
            counters=None if counters is None else Counters.from_dict(counters),
        )
