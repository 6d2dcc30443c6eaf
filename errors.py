"""Define the errors that the project raises on purpose.

    AnomalyError
    |-- SettingsError            a setting is missing or wrong (names the setting)
    |-- InputError               the caller sent invalid data                       422
    |   |-- MissingFeatures      a reading lacks features that its model needs      422
    |   |-- UnknownGroup         no model group matches the stream                  422
    |   |-- TooLarge             a limit on size or number is exceeded              413
    |   `-- DatasetError         a file of training or replay data cannot be used   422
    |       |-- MissingColumn    it lacks a column that is asked for                422
    |       `-- UnclearTimes     its times can be read in several formats           422
    |-- NotFound                 the row, job or data set does not exist            404
    |-- Conflict                 the current state does not allow the action        409
    |-- PreconditionFailed       somebody else has changed the entry meanwhile      412
    |-- AccessDenied             no key (401) or a key without the role (403)
    |-- Unavailable              retry later (`retriable`)                          503
    |   |-- NoModel              no bundle is loaded                                503
    |   |-- Busy                 too many requests in flight                        429
    |   |-- StorageUnavailable   PostgreSQL cannot be reached                       503
    |   `-- BrokerUnavailable    Kafka cannot be reached                            503
    |-- BundleError              a bundle on disk or in a registry is unusable      500
    `-- TrainingError            the data or options do not allow a fit             422

Each error has a stable ``code`` (also the reason of a dead letter), the HTTP ``status``,
``retriable`` (whether a retry can succeed) and, if one field is wrong, its name in ``field``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AnomalyError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    message : str
        One sentence for people; names the invalid field and its value.
    code : str, optional
        Overrides the class's stable code.
    field : str, optional
        Dotted path of the invalid field, such as ``features.rms``.
    status : int, optional
        Overrides the class's HTTP status.
    """

    code = "internal_error"
    status = 500
    retriable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    def entry(self) -> dict[str, Any]:
        """Return the error as in responses: ``{"code", "message", "field"}``."""
        return {"code": self.code, "message": self.message, "field": self.field}


class SettingsError(AnomalyError):
    """A setting is missing or wrong."""

    code = "bad_setting"


class SchemaTooNew(SettingsError):
    """The database belongs to a newer program, until its operator restores an older one."""


class InputError(AnomalyError):
    """The caller sent invalid data."""

    code = "invalid_input"
    status = 422


class MissingFeatures(InputError):
    """A reading lacks features that cannot be filled in."""

    code = "missing_features"


class UnknownGroup(InputError):
    """No rule of the bundle matches the stream."""

    code = "no_group"


class TooLarge(InputError):
    """The request exceeds a limit on size or number."""

    code = "too_large"
    status = 413


class DatasetError(InputError):
    """A file of readings cannot be read."""

    code = "bad_dataset"


class MissingColumn(DatasetError):
    """A file lacks a column that is asked for by name.

    Parameters
    ----------
    message : str
    name : str
        The column.
    meant : str or None
        The one that may have been meant.
    """

    def __init__(self, message: str, *, name: str = "", meant: str | None = None) -> None:
        super().__init__(message, field=name)
        self.name = name
        self.meant = meant


class UnclearTimes(DatasetError):
    """Times can be read in several formats, with day and month in each other's place.

    Parameters
    ----------
    message : str
    formats : sequence of str
        The formats, for `strptime`.
    """

    def __init__(self, message: str, *, formats: Sequence[str] = ()) -> None:
        super().__init__(message, field="timestamp")
        self.formats = formats


class NotFound(AnomalyError):
    """The requested object does not exist."""

    code = "not_found"
    status = 404


class Conflict(AnomalyError):
    """The current state does not allow the action."""

    code = "conflict"
    status = 409


class PreconditionFailed(AnomalyError):
    """Somebody else has changed the entry meanwhile."""

    code = "version_conflict"
    status = 412


class AccessDenied(AnomalyError):
    """The access key is missing, unknown or lacks the role."""

    code = "access_denied"
    status = 401


class Unavailable(AnomalyError):
    """A required resource is temporarily unavailable. ``retry_after`` is in seconds."""

    code = "unavailable"
    status = 503
    retriable = True

    def __init__(self, message: str, *, retry_after: float = 5.0, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after


class NoModel(Unavailable):
    """No trained bundle is loaded."""

    code = "no_model"


class Busy(Unavailable):
    """Too many requests are in flight; a retry may succeed."""

    code = "busy"
    status = 429


class StorageUnavailable(Unavailable):
    """The database does not answer."""

    code = "storage_unavailable"


class BrokerUnavailable(Unavailable):
    """The broker does not answer."""

    code = "broker_unavailable"


class BundleError(AnomalyError):
    """A bundle cannot be read."""

    code = "bad_bundle"


class TrainingError(AnomalyError):
    """The data or the options do not allow a fit."""

    code = "training_failed"
    status = 422
