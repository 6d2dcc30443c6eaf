"""The error tree: every failure the project raises on purpose.

    AnomalyError
    |-- SettingsError            a setting is missing or wrong (names the setting)
    |-- InputError               the caller's data is at fault                      422
    |   |-- MissingFeatures      a reading lacks features that its model needs      422
    |   |-- UnknownGroup         no model group is made for this stream             422
    |   |-- TooLarge             a limit on size or number is exceeded              413
    |   `-- DatasetError         a file of training or replay data cannot be used   422
    |-- NotFound                 no such row, job or data set                       404
    |-- Conflict                 it cannot be done to what is there now            409
    |-- PreconditionFailed       somebody else was faster                          412
    |-- AccessDenied             no key (401) or a key without the role (403)
    |-- Unavailable              try again later (`retriable`)                      503
    |   |-- NoModel              no bundle is loaded                                503
    |   |-- Busy                 too much work in flight                            429
    |   |-- StorageUnavailable   PostgreSQL cannot be reached                       503
    |   `-- BrokerUnavailable    Kafka cannot be reached                            503
    |-- BundleError              a bundle on disk or in a registry is unusable      500
    `-- TrainingError            a fit cannot be done with this data                422

Each carries a stable ``code`` (also the reason of a dead letter), whether a later try can
succeed (``retriable``), the HTTP ``status``, and, where one is at fault, the ``field``.
"""

from __future__ import annotations

from typing import Any


class AnomalyError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    message : str
        One sentence for a person; names the field and the value at fault.
    code : str, optional
        Overrides the class's stable code.
    field : str, optional
        Dotted path of the field at fault, such as ``features.rms``.
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
        """Return the error as it is sent: ``{"code", "message", "field"}``."""
        return {"code": self.code, "message": self.message, "field": self.field}


class SettingsError(AnomalyError):
    """A setting is missing or wrong."""

    code = "bad_setting"


class InputError(AnomalyError):
    """What was sent cannot be used."""

    code = "invalid_input"
    status = 422


class MissingFeatures(InputError):
    """A reading lacks features that cannot be filled in."""

    code = "missing_features"


class UnknownGroup(InputError):
    """No rule of the bundle fits the stream."""

    code = "no_group"


class TooLarge(InputError):
    """What was sent is larger than allowed."""

    code = "too_large"
    status = 413


class DatasetError(InputError):
    """A file of readings cannot be read."""

    code = "bad_dataset"


class NotFound(AnomalyError):
    """What was asked for does not exist."""

    code = "not_found"
    status = 404


class Conflict(AnomalyError):
    """It cannot be done to what is there now."""

    code = "conflict"
    status = 409


class PreconditionFailed(AnomalyError):
    """Somebody else was faster."""

    code = "version_conflict"
    status = 412


class AccessDenied(AnomalyError):
    """The key is missing, unknown or not allowed to do this."""

    code = "access_denied"
    status = 401


class Unavailable(AnomalyError):
    """Something needed is not there now. ``retry_after`` is in seconds."""

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
    """Too much is in flight; a later try may succeed."""

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
    """The data or the options cannot be trained on."""

    code = "training_failed"
    status = 422
