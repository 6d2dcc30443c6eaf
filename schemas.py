"""Validate times, names and feature values from REST, Kafka and files.

Validation is strict: a string, boolean or null is never a number, NaN and infinities are rejected,
and an unreadable time is an error instead of "now". The checks are plain functions because they
run tens of thousands of times per second.
"""

from __future__ import annotations

import math
import re
import time
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from errors import InputError

T = TypeVar("T")

Criticality = Literal["critical", "high", "medium", "low"]
CRITICALITIES: tuple[Criticality, ...] = ("critical", "high", "medium", "low")
#: Severities of readings and incidents, the least first: a higher index is more severe.
SEVERITIES: tuple[Criticality, ...] = CRITICALITIES[::-1]

MAX_NAME = 255  # characters

#: Path of the REST API, and of its routes about anomalies.
API_ROOT: Final = "/api/v1"
API_PREFIX: Final = f"{API_ROOT}/anomalies"

#: asset_id, sensor_id, feature; absent parts are "".
StreamKey = tuple[str, str, str]

#: Keys of a result's ``metadata`` that the service may set; callers' values for them are renamed.
RESERVED_METADATA: Final = frozenset(
    {
        "asset_criticality", "bundle_version", "caller", "degraded", "detection_id", "event",
        "explanation", "extrapolated", "group", "imputed", "incident", "insufficient_history",
        "interval_unlike_training", "late", "magnitude", "no_value_since", "not_scored",
        "outside_limits", "restarted", "spread", "stands_elsewhere", "stood_still", "stored",
        "stuck", "suppressed", "unknown_condition", "unknown_features", "warming_up", "window",
    }
)  # fmt: skip

#: A late reading of at most this age can still belong to an event, even if EVENT_SILENCE_S is
#: shorter: local time without an offset repeats an hour when daylight saving ends.
REPEATED_HOUR_S: Final = 3600.0


AMBIGUOUS_DATE: Final = "; this form of date is ambiguous: send year-month-day"
#: 18.30 or 18:30.5 after a date, which fromisoformat takes for 18 h and 0.3 s.
_FRACTION_OF_HOUR: Final = re.compile(r"\d[T ]\d\d(:?\d\d)?[.,]\d")


def parse_timestamp(value: object, field: str = "timestamp") -> datetime:
    """Parse ISO 8601 text (``Z``, an offset, or none = UTC) as aware UTC.

    Raises
    ------
    InputError
        ``bad_timestamp``, with the value, if it cannot be parsed.
    """
    if isinstance(value, str) and len(value) <= 64:
        try:
            # seconds since 1970: fromisoformat may accept them, as a date such as 1612-01-01
            if len(value) > 8 and value.isdigit():
                raise ValueError(value)
            if _FRACTION_OF_HOUR.search(value):
                raise ValueError(value)
            if value.endswith("z"):  # RFC 3339 allows a lower-case z, fromisoformat does not
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


#: The wall clock when this process began, and the monotonic clock then.
_BEGAN: Final = datetime.now(UTC), time.monotonic()


def present() -> datetime:
    """Return the present, which does not go back when the machine's clock is set back.

    With a clock an hour behind, every reading of the plant would lie in the future.
    """
    wall, monotonic = _BEGAN
    return max(datetime.now(UTC), wall + timedelta(seconds=time.monotonic() - monotonic))


def moved(at: datetime, by: timedelta) -> datetime:
    """Return ``at + by``; a result outside the calendar becomes its first or last time (UTC)."""
    try:
        return at + by
    except OverflowError:
        return (datetime.max if by > timedelta() else datetime.min).replace(tzinfo=UTC)


def _time_hint(value: object) -> str:
    """Return a hint for the sender of an invalid time, guessed from its form."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdigit()):
        return "; a number can be seconds or milliseconds since 1970: send ISO 8601"
    if isinstance(value, list | dict):
        return "; send it as text"
    if not isinstance(value, str):
        return ""
    if value.endswith("]"):
        return "; it ends with a zone name, as Java's ZonedDateTime does: send only the offset"
    if ":60" in value:
        return "; leap seconds are not supported: send second 59, or 00 of the next minute"
    if re.match(r"[A-Z][a-z]{2}[, ]|\d{1,2}[./]\d{1,2}[./]\d{2,4}", value):
        return AMBIGUOUS_DATE
    if value.startswith("/Date("):
        return "; this is .NET's old date format: send ISO 8601"
    if re.search(r"[ T]\d\d:\d\d.* ?[A-Za-z]{2,5}\Z", value):
        return "; it ends with a zone name: send the offset, such as +01:00"
    return ""


def check_name(value: object, field: str) -> str:
    """Return a name or id if it is valid: text of 1 to 255 characters without NUL.

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
            f"{field}: is not valid Unicode (lone surrogates)", code="bad_name", field=field
        ) from None
    return value


def stream_key(asset_id: str, sensor_id: str | None, feature: str | None = None) -> StreamKey:
    """Return the key of a stream; absent parts are ``""``.

    Parameters
    ----------
    asset_id : str
    sensor_id, feature : str or None
        None becomes ``""``.
    """
    return asset_id, sensor_id or "", feature or ""


def has_nul(content: Any) -> bool:
    """Return whether any text in a JSON value contains NUL, which PostgreSQL cannot store."""
    left = [content]
    while left:  # a loop, because recursion could exceed its limit: the sender chooses the nesting
        one = left.pop()
        if isinstance(one, str) and "\x00" in one:
            return True
        if isinstance(one, dict):
            left += one.keys()
            left += one.values()
        elif isinstance(one, list):
            left += one
    return False


#: Invisible characters of a name: spaces, control and format characters.
_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2060\ufeff]+")
#: A whole number that some program has converted to a float.
_FLOAT_ID = re.compile(r"([+-]?\d+)\.0+")


class LookAlikes:
    """Report names of assets and sensors that look the same to people, such as "A " and "A".

    Such names may split the readings of one machine. They stay two streams, because only the plant
    knows whether they mean the same. The comparison ignores spaces, case, Unicode form and a
    trailing ".0".

    Parameters
    ----------
    max_names : int
        Names remembered; beyond that all are forgotten, and pairs may be reported again.
    """

    def __init__(self, max_names: int = 50_000) -> None:
        self._max_names = max_names
        self._met: dict[str, tuple[str, ...]] = {}
        self._known: set[str] = set()

    def meet(self, asset_id: str, sensor_id: str | None) -> list[str]:
        """Return a sentence, once, for each of the two names that looks like an earlier one."""
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
            f"{field} {name!r}{where} looks like {before[0]!r}, but differs:"
            " they are separate streams"
        )


class NameMemo(dict[tuple[str, ...], T]):
    """Cache a value per list of names, because streams send the same list with every reading.

    Since senders choose the names, the cache is limited to ``MAX`` names in total; beyond that it
    is cleared.
    """

    MAX: Final = 100_000

    def __init__(self) -> None:
        super().__init__()
        self._names = 0

    def keep(self, names: tuple[str, ...], found: T) -> T:
        """Store and return the value of these names."""
        if self._names + len(names) > self.MAX:
            self.clear()
            self._names = 0
        self._names += len(names)
        self[names] = found
        return found


#: Lists of feature names that have passed the checks.
_PASSED: NameMemo[bool] = NameMemo()


def check_features(
    value: object, field: str = "features", max_features: int = 1000
) -> dict[str, float]:
    """Return features as floats if they are a non-empty object of finite numbers.

    An object that needs no conversion is returned itself.

    Parameters
    ----------
    field
        Name of the object in errors.
    max_features
        Maximum number of features.

    Raises
    ------
    InputError
        ``bad_features`` / ``bad_value`` / ``bad_name``, naming the feature and the value.
    """
    # fast path, 2 us instead of 10 for 24 features: known names, floats only, a finite sum
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
            f"{field}: {len(value)} features, at most {max_features} are allowed",
            code="bad_features",
            field=field,
        )
    out = {name: _feature(name, number, field) for name, number in value.items()}
    _PASSED.keep(tuple(out), True)
    return out


def check_numbers(value: dict[str, float], field: str, max_features: int) -> None:
    """Check the names and number of features whose values a Struct has decoded as finite floats.

    Parameters
    ----------
    field
        Name of the object in errors.
    max_features
        Maximum number of features.

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
        what = f"{number!r:.80} is not a number"
        if number is None:
            what = "null is not a number; leave out a feature that was not measured"
        raise InputError(f"{where}: {what}", code="bad_value", field=where)
    try:
        as_float = float(number)
    except OverflowError:
        as_float = math.inf
    if not math.isfinite(as_float):
        raise InputError(f"{where}: {as_float} is not finite", code="bad_value", field=where)
    return as_float


def merge_metadata(ours: dict[str, Any], callers: Mapping[str, Any]) -> dict[str, Any]:
    """Add the caller's metadata to ours, and return ours.

    A caller's key that is reserved is moved under ``caller``.
    """
    moved = {}
    for key, value in callers.items():
        if key in ours or key in RESERVED_METADATA:
            moved[key] = value
        else:
            ours[key] = value
    if moved:
        # a caller's own "caller" (its key, or metadata that is no object) is not nested again
        ours["caller"] = moved["caller"] if list(moved) == ["caller"] else moved
    return ours
