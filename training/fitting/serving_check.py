"""Check that the model set that serves watches what its hold-out twin watches.

The measured figures are the twin's. The set that serves was fitted on the newest readings, too: if
they hold a change of unit or a fault, a feature's scale may have become so wide that nothing is
seen of it any more. The same 6-sd steps are therefore injected once more, at a few calm points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.detectors.covariance import median_deviation, winsorised_std
from models.scoring.features.standing import ROUNDING
from models.scoring.model_set import ModelSet
from training.evaluation.measures import Scored
from training.fitting.deviations import stream_deviation
from training.fitting.injection_trials import MOVES, SEEN, WATCH, Experiment, trial_name
from training.fitting.power import HALF, LOST, Power, calm_points
from training.fitting.stream_scores import HeldOut, InjectionPoint, score_streams

#: Points at which faults are injected, and readings replayed before each: windows and tails have
#: settled by then.
_POINTS: Final = 10
_LEAD: Final = 300
#: Features checked, at most: those of which most newest readings lie elsewhere.
_FEATURES: Final = 32
#: Share of newest readings elsewhere than before that may be the cause.
_SOME: Final = 0.01
_UNKNOWN: Final = "they do not lie elsewhere; --no-refit keeps the fit without them"


def lost_features(
    twin: HeldOut,
    scored: Sequence[Scored],
    points: Sequence[InjectionPoint],
    power: Power,
    serving: ModelSet,
) -> dict[str, str]:
    """Return the features that the twin watches and ``serving`` does not, with the likely cause.

    Parameters
    ----------
    twin, scored, points, power
        The held-out readings with the twin's sets, and what was measured of it.
    serving
        The model set fitted on all readings.
    """
    causes = [likely_cause(twin, j) for j in range(len(twin.names))]
    watched = [twin.names.index(f) for f in power.shares if f not in power.not_watched]
    watched.sort(key=lambda j: causes[j][0], reverse=True)
    shares = _shares(twin, calm_points(twin, scored, points), serving, watched[:_FEATURES])
    strongest = max(causes)[1]  # far readings of one feature may hide faults of all
    out = {}
    for j in sorted(shares):
        feature = twin.names[j]
        if shares[j] < HALF and shares[j] <= power.watch(feature) - LOST:
            out[feature] = causes[j][1] or strongest or _UNKNOWN
    return out


def _shares(
    twin: HeldOut, calm: Sequence[InjectionPoint], serving: ModelSet, features: Sequence[int]
) -> dict[int, float]:
    """Return the share of the steps that decide which the serving set detects, by feature.

    Parameters
    ----------
    twin, serving
        Those of :func:`lost_features`.
    calm : sequence of InjectionPoint
        Of which the first are used; each is replayed as a short stream.
    features : sequence of int
        Indices. What cannot be measured is left out.
    """
    names, pre = twin.names, serving.preprocessing
    few = sorted({(point.stream, point.at) for point in calm[:_POINTS]})
    own = {i: stream_deviation(twin.streams[i], names, pre) for i in {i for i, _ in few}}
    skip = [min(at, _LEAD) for _, at in few]
    parts = [
        twin.streams[i].take(slice(at - lead, at + SEEN))
        for (i, at), lead in zip(few, skip, strict=True)
    ]
    held = replace(twin, sets=[serving] * len(few), streams=parts, skip=skip)
    scored, points = score_streams(held, [[lead] for lead in skip])
    experiment = Experiment(held, scored, points, [own[i] for i, _ in few])
    standing = pre.standing.names if pre.standing else ()
    medium = list(twin.policy.budgets).index("medium")
    out = {}
    for j in features:
        trial = MOVES if names[j] in standing else WATCH
        if names[j] not in standing and names[j] not in serving.feature_names:
            out[j] = 0.0
        elif points and (trial == MOVES or experiment.moves(j)):
            out[j] = experiment.shares(j, [trial])[trial_name(trial)][medium]
    return out


def likely_cause(held: HeldOut, j: int) -> tuple[float, str]:
    """Name the stream with most newest readings far from those before, and both levels.

    Also return their share, beyond that of earlier readings; 0 and no text if there are few.
    Readings labelled as faults count only if they were fitted on.
    """
    worst, text = _SOME, ""
    labelled = any(one.options.get("keep_labelled") for one in held.sets)
    for stream, cut in zip(held.streams, held.skip, strict=True):
        known = np.isfinite(stream.values[:, j])
        if stream.labels is not None and not labelled:
            known &= stream.labels <= 0
        x, new = stream.values[known, j], np.flatnonzero(known) >= cut
        if new.all() or not new.any():
            continue
        middle = float(np.median(x[~new]))
        # a feature that mostly rests has no median deviation, but its movements are no news
        spread = median_deviation(x[~new]) or float(winsorised_std(x[~new, None])[0])
        far = np.abs(x - middle) > np.maximum(WATCH[1] * spread, ROUNDING * abs(middle))
        share = float(far[new].mean())
        more = share - float(far[~new].mean())
        if more > worst:
            worst = more
            text = (
                f"{held.names[j]}: {share:.0%} of the newest readings of {stream.asset_id} lie"
                f" around {np.median(x[new & far]):.4g}, those before at {middle:.4g}: another"
                " unit, or a fault?"
            )
    return (worst, text) if text else (0.0, "")
