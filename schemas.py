"""Check what comes in over REST, Kafka and files: times, names and feature values.

Strict: a string, boolean or null is never a number, NaN and infinities are refused, and a time that
cannot be read is never "now". Plain functions, because they are called tens of thousands of times a
second; the shape of what goes out is documented in ``serving/responses``.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from errors import InputError

T = TypeVar("T")

Criticality = Literal["critical", "high", "medium", "low"]
CRITICALITIES: tuple[Criticality, ...] = ("critical", "high", "medium", "low")

MAX_NAME = 255

#: asset_id, sensor_id, feature; absent parts are "".
StreamKey = tuple[str, str, str]

#: Keys of a result's ``metadata`` that are ours, also where a result happens not to carry them.
RESERVED_METADATA: Final = frozenset(
    {
        "asset_criticality", "bundle_version", "caller", "degraded", "detection_id", "event",
        "explanation", "extrapolated", "group", "imputed", "incident", "insufficient_history",
        "late", "magnitude", "not_scored", "outside_limits", "restarted", "spread", "stood_still",
        "stored", "suppressed", "unknown_condition", "unknown_features", "warming_up", "window",
    }
)  # fmt: skip

#: Late readings are part of events up to this age, if EVENT_SILENCE_S is less: local time without
#: an offset goes through the hour twice when daylight saving ends.
REPEATED_HOUR_S: Final = 3600.0


def parse_timestamp(value: object, field: str = "timestamp") -> datetime:
    """Read ISO 8601 text (``Z``, an offset, or none = UTC) as aware UTC; never "now".

    Raises
    ------
    InputError
        ``bad_timestamp``, with the value, when it cannot be parsed.
    """
    if isinstance(value, str) and len(value) <= 64:
        try:
            if len(value) > 8 and value.isdigit():  # an epoch, which Python may read as 1612-01-01
                raise ValueError(value)
            if value.endswith("z"):  # RFC 3339 allows it, fromisoformat does not
                value = value[:-1] + "Z"
            parsed = datetime.fromisoformat(value)
            return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            pass
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    shown = repr(value)[:80]
    raise InputError(
        f"{field}: {shown} is not an ISO 8601 time{_time_hint(value)}",
        code="bad_timestamp",
        field=field,
    )


def moved(at: datetime, by: timedelta) -> datetime:
    """Return a time (UTC) moved, to the calendar's first or last where it would leave it."""
    try:
        return at + by
    except OverflowError:
        return (datetime.max if by > timedelta() else datetime.min).replace(tzinfo=UTC)


def _time_hint(value: object) -> str:
    """Guess what a value is that its sender took for a time."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdigit()):
        return "; a number, as seconds or milliseconds since 1970, says not which: send ISO 8601"
    if isinstance(value, list | dict):
        return "; send it as text"
    if not isinstance(value, str):
        return ""
    if value.endswith("]"):
        return "; it ends in the name of a zone, as of Java's ZonedDateTime: send the offset alone"
    if ":60" in value:
        return "; a leap second, which few clocks know: send second 59, or 00 of the next minute"
    if re.match(r"[A-Z][a-z]{2}[, ]|\d{1,2}[./]\d{1,2}[./]\d{2,4}", value):
        return "; a date as people write it may be read in two ways: send year-month-day"
    if value.startswith("/Date("):
        return "; a date as .NET once wrote it: send ISO 8601"
    if re.search(r"[ T]\d\d:\d\d.* ?[A-Za-z]{2,5}\Z", value):
        return "; the name of a zone: send its offset, such as +01:00"
    return ""


def check_name(value: object, field: str) -> str:
    """Check a name or id: text of 1 to 255 characters without NUL.

    Raises
    ------
    InputError
        ``bad_name``, with the field.
    """
    if not isinstance(value, str) or not value or len(value) > MAX_NAME or "\x00" in value:
        what = f"{value!r:.80} is not text of 1 to {MAX_NAME} characters without NUL"
        if value is None:
            what = "is missing or null"
        raise InputError(f"{field}: {what}", code="bad_name", field=field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{field}: lone surrogates are not text", code="bad_name", field=field
        ) from None
    return value


def stream_key(asset_id: str, sensor_id: str | None, feature: str | None = None) -> StreamKey:
    """Return the key of a stream; absent parts are ``""``.

    Parameters
    ----------
    asset_id : str
    sensor_id, feature : str or None
        None: the stream has none.
    """
    return asset_id, sensor_id or "", feature or ""


def has_nul(content: Any) -> bool:
    """Return whether a text in what JSON holds has a NUL, which PostgreSQL cannot hold."""
    left = [content]
    while left:  # not by recursion: the nesting is the sender's choice
        one = left.pop()
        if isinstance(one, str) and "\x00" in one:
            return True
        if isinstance(one, dict):
            left += one.keys()
            left += one.values()
        elif isinstance(one, list):
            left += one
    return False


#: What a person does not see in a name: spaces, control and format characters.
_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2060\ufeff]+")
#: A whole number that went through a table of floats on its way.
_FLOAT_ID = re.compile(r"([+-]?\d+)\.0+")


class LookAlikes:
    """Notice names of assets and sensors that a person takes for one another: "A " beside "A".

    They stay two streams, since only the plant knows what it means; but two halves of one
    machine's readings are reported. Spaces, case, Unicode form and a trailing ".0" do not count.

    Parameters
    ----------
    max_names : int
        Names remembered; beyond that all are forgotten and reported again when met.
    """

    def __init__(self, max_names: int = 50_000) -> None:
        self._max_names = max_names
        self._met: dict[str, tuple[str, ...]] = {}
        self._known: set[str] = set()

    def meet(self, asset_id: str, sensor_id: str | None) -> list[str]:
        """Return a sentence for each of the two names that resembles one met before; once."""
        sentences = [self._one("asset_id", "", asset_id)]
        if sensor_id:
            sentences.append(self._one("sensor_id", asset_id, sensor_id))
        return [sentence for sentence in sentences if sentence is not None]

    def _one(self, field: str, within: str, name: str) -> str | None:
        exact = f"{within}\x00{name}"
        if exact in self._known:
            return None
        if len(self._known) >= self._max_names:
            self._known.clear()
            self._met.clear()
        self._known.add(exact)
        bare = _UNSEEN.sub("", unicodedata.normalize("NFKC", name)).casefold()
        whole = _FLOAT_ID.fullmatch(bare)
        alike = f"{within}\x00{whole[1] if whole else bare}"
        before = self._met.get(alike, ())
        self._met[alike] = (*before, name)
        if not before:
            return None
        where = f" of asset {within!r}" if within else ""
        return (
            f"{field} {name!r}{where} looks like {before[0]!r}, but is another:"
            " their readings are kept apart"
        )


class NameMemo(dict[tuple[str, ...], T]):
    """Remember what was found out about lists of names, which streams repeat all day.

    Names are the sender's choice, so there are never more than ``MAX`` of them in all: beyond
    that everything is forgotten, and found out again.
    """

    MAX: Final = 100_000

    def __init__(self) -> None:
        super().__init__()
        self._names = 0

    def keep(self, names: tuple[str, ...], found: T) -> T:
        """Remember and return what was found out about these names."""
        if self._names + len(names) > self.MAX:
            self.clear()
            self._names = 0
        self._names += len(names)
        self[names] = found
        return found


#: Names of features that passed before, as they came.
_PASSED: NameMemo[bool] = NameMemo()


def check_features(
    value: object, field: str = "features", max_features: int = 1000
) -> dict[str, float]:
    """Check feature values: a non-empty object of finite numbers (never booleans, text or null).

    The object itself comes back when nothing in it needed changing.

    Parameters
    ----------
    field
        Names the object in errors.
    max_features
        Number of features at most.

    Raises
    ------
    InputError
        ``bad_features`` / ``bad_value`` / ``bad_name``, naming the feature and the value.
    """
    # 2 us instead of 10 for 24 features: known names, floats only, a finite sum
    if (
        type(value) is dict
        and len(value) <= max_features
        and tuple(value) in _PASSED
        and set(map(type, value.values())) == {float}
        and math.isfinite(sum(value.values()))
    ):
        return value
    if not isinstance(value, dict) or not value:
        raise InputError(f"{field}: must be a non-empty object", code="bad_features", field=field)
    if len(value) > max_features:
        raise InputError(
            f"{field}: {len(value)} features, at most {max_features}",
            code="bad_features",
            field=field,
        )
    out = {name: _feature(name, number, field) for name, number in value.items()}
    _PASSED.keep(tuple(out), True)
    return out


def check_numbers(value: dict[str, float], field: str, max_features: int) -> None:
    """Check features that are known to be finite floats, as those that a Struct decoded.

    Parameters
    ----------
    field
        Names the object in errors.
    max_features
        Number of features at most.

    Raises
    ------
    InputError
        See :func:`check_features`.
    """
    if tuple(value) not in _PASSED or len(value) > max_features:
        check_features(value, field, max_features)


def _feature(name: object, number: object, field: str) -> float:
    where = f"{field}.{str(name)[:64]}"
    check_name(name, where)
    if type(number) is not float and type(number) is not int:
        raise InputError(f"{where}: {number!r:.80} is not a number", code="bad_value", field=where)
    try:
        as_float = float(number)
    except OverflowError:
        as_float = math.inf
    if not math.isfinite(as_float):
        raise InputError(f"{where}: {as_float} is not finite", code="bad_value", field=where)
    return as_float


def merge_metadata(ours: dict[str, Any], callers: Mapping[str, Any]) -> dict[str, Any]:
    """Add the caller's metadata to ours, and return ours.

    A key that is ours goes under ``caller``.
    """
    moved = {}
    for key, value in callers.items():
        if key in ours or key in RESERVED_METADATA:
            moved[key] = value
        else:
            ours[key] = value
    if moved:
        # a caller's own "caller" (its key, or metadata that is no object) is kept as it came
        ours["caller"] = moved["caller"] if list(moved) == ["caller"] else moved
    return ours
