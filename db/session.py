"""Open the database of the settings, run transactions, and translate database errors.

Every failure of SQLAlchemy or psycopg2 leaves :func:`transaction` as one of

    StorageUnavailable   not reachable, timed out, deadlocked, shut down: retry later
    AlreadyStored        a unique key exists already: the record is stored, not invalid
    InputError           PostgreSQL rejects a value (code ``unprocessable``): split to find it
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import orjson
import psycopg2
from psycopg2.errors import CheckViolation
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from config import Settings
from db.embedded import embedded_url, revive
from db.encoding import dump_json
from errors import AnomalyError, InputError, SettingsError, StorageUnavailable

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class AlreadyStored(AnomalyError):
    """A unique key exists already: the record is stored in the database."""

    code = "already_stored"
    status = 409


#: SQLSTATE classes and codes after which the same statement may succeed later.
_RETRIABLE = ("08", "40", "53", "55", "57", "58", "25P03", "25P04")
#: SQLSTATE -> libpq's text (refused connections have no SQLSTATE), and the reason for people.
_REFUSED = {
    "28P01": ("password authentication failed",
              "refused the password (DATABASE_USER, DATABASE_PASSWORD)"),
    "28000": ("pg_hba.conf", "refused the login (DATABASE_USER, or its pg_hba.conf)"),
    "3D000": ("does not exist", "has no such database (DATABASE_NAME)"),
}  # fmt: skip
_READ_ONLY = "25006"
#: SQLSTATE -> code and sentence of a database that answers queries but refuses changes.
_NO_CHANGES = {
    "53100": ("storage_full", "has no space left on its disk"),
    _READ_ONLY: ("storage_read_only", "is read-only"),
}
#: Codes of a database that answers queries but refuses changes.
REFUSES_CHANGES = tuple(code for code, _ in _NO_CHANGES.values())
#: The kind of database in an address, and what one looks like.
_KIND = re.compile(r"([a-z]\w*)(?:\+\w+)?://", re.IGNORECASE)
_ADDRESS = "postgresql://user:password@host:port/name"
_NO_SCHEMA = ("42P01", "42703", "42883", "3F000")


def describe(url: URL) -> str:
    """Describe the database for people, without the password."""
    socket = url.query.get("host")
    where = f"socket {socket}" if url.host is None else f"{url.host}:{url.port or 5432}"
    return f"PostgreSQL database {url.database!r} at {where}"


def database_url(settings: Settings) -> URL:
    """Return the URL of the settings' database; start the embedded one if none is named.

    Raises
    ------
    SettingsError
        DATABASE_URL names no PostgreSQL database, or embedding is not installed.
    """
    url = configured_url(settings)
    if url is None:
        url = embedded_url(settings.var_dir / "postgres", settings.database_name)
        _announce(f"embedded PostgreSQL under {settings.var_dir / 'postgres'}")
        return url
    url = url.set(drivername="postgresql+psycopg2")
    _announce(describe(url))
    return url


@cache
def _announce(store: str) -> None:
    """Log the store once per process, not with each try to reach it."""
    log.info("store: %s", store)


def configured_url(settings: Settings) -> URL | None:
    """Return DATABASE_URL, else the URL built from DATABASE_HOST; None if neither is set.

    Only what opens a database asks, so commands that need none run whatever is set.

    Raises
    ------
    SettingsError
        DATABASE_URL cannot be parsed, or names another kind of database; the message shows the
        kind, but nothing else of the address, since a password may stand anywhere in it.
    """
    if settings.database_url is not None:
        return _parsed(settings.database_url.get_secret_value())
    if not settings.database_host:
        return None
    host, port, password = settings.database_host, settings.database_port, None
    if settings.database_password is not None:
        password = settings.database_password.get_secret_value()
    url = URL.create(
        "postgresql", settings.database_user, password, database=settings.database_name
    )
    if host.startswith("/"):  # host is the folder of a unix socket
        return url.set(query={"host": host, "port": str(port)})
    return url.set(host=host, port=port)


def _parsed(address: str) -> URL:
    kind = _KIND.match(address)
    if kind is None or kind[1].lower() not in ("postgres", "postgresql"):
        it = "is empty" if not address else f"names {kind[1]!r}" if kind else "has no kind"
        problem = f"must be an address like {_ADDRESS}, but {it}"
    else:
        try:
            return make_url(kind[0].lower() + address[kind.end() :])
        except (ArgumentError, ValueError):
            problem = f"cannot be parsed as {_ADDRESS}"
    # outside of the handler: the original message contains the address with its password
    raise SettingsError(f"DATABASE_URL: {problem}", field="DATABASE_URL")


def parameters(settings: Settings) -> dict[str, object]:
    """Return the options of every transaction: time-outs in milliseconds, UTC."""
    return {
        "statement_timeout": round(settings.database_statement_timeout_s * 1000),
        "idle_in_transaction_session_timeout": round(settings.database_idle_timeout_s * 1000),
        "timezone": "UTC",
    }


def connect_args(settings: Settings, url: URL) -> dict[str, Any]:
    """Return the connection options besides the URL: time-outs, TLS, UTC."""
    given = url.query.get("options", "")
    own = " ".join(f"-c {name}={value}" for name, value in parameters(settings).items())
    tls: Mapping[str, object] = {
        "sslmode": settings.database_sslmode,
        "sslrootcert": settings.database_sslrootcert,
        "sslcert": settings.database_sslcert,
        "sslkey": settings.database_sslkey,
    }
    options = f"{own} {given if isinstance(given, str) else ' '.join(given)}".strip()
    return {
        "connect_timeout": settings.database_connect_timeout_s,
        "application_name": settings.service_name[:63],
        **({} if settings.database_pooler else {"options": options}),
        # A server that vanished silently is noticed after half a minute instead of two hours.
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        **{name: str(value) for name, value in tls.items() if value is not None},
    }


def make_engine(url: URL | str, **options: Any) -> Engine:
    """Make an engine on ``url`` with JSON by orjson and pre-pinged connections.

    ``options`` go to :func:`sqlalchemy.create_engine`.
    """
    engine = create_engine(
        url,
        pool_pre_ping=options.pop("pool_pre_ping", True),
        json_serializer=dump_json,
        json_deserializer=orjson.loads,
        # The parameters of a failing statement may be a customer's readings.
        hide_parameters=True,
        **options,
    )
    event.listen(engine, "handle_error", _leave_a_standby)
    return engine


def _leave_a_standby(context: ExceptionContext) -> None:
    """Close a connection that refuses changes, which a pool would keep for as long as it answers.

    After a failover the address may lead to the new primary, but only for new connections.
    """
    if getattr(context.original_exception, "pgcode", None) == _READ_ONLY:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False  # others find out by themselves, if they do


def open_engine(settings: Settings, kept: int = 0) -> Engine:
    """Make the engine of the settings, without connecting to any but an embedded server.

    ``kept`` connections stay open once made, if the pool allows this many: connections that are
    always in use would otherwise be reopened again and again as overflow.

    Raises
    ------
    SettingsError
        See :func:`database_url`.
    StorageUnavailable
        The embedded server cannot be started.
    """
    url = database_url(settings)
    maximum = settings.database_pool_size + settings.database_pool_overflow
    kept = min(max(settings.database_pool_size, kept), maximum)
    engine = make_engine(
        url,
        pool_size=kept,
        max_overflow=maximum - kept,
        pool_timeout=settings.database_pool_timeout_s,
        pool_recycle=settings.database_pool_recycle_s,
        connect_args=connect_args(settings, url),
    )
    if configured_url(settings) is None:
        _keep_alive(engine, settings.var_dir / "postgres")
    if settings.database_pooler:
        _set_in_each_transaction(engine, parameters(settings))
    return engine


@contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    """Provide an engine from :func:`open_engine`; close its connections at the end."""
    engine = open_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def _keep_alive(engine: Engine, folder: Path) -> None:
    """Start the embedded server in ``folder`` again if a connection shows that it has died."""

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: object, args: Any, options: Any) -> Any:
        try:
            return dialect.connect(*args, **options)
        except psycopg2.OperationalError:
            if not revive(folder):
                raise
            return dialect.connect(*args, **options)


def _set_in_each_transaction(engine: Engine, values: Mapping[str, object]) -> None:
    """Set the options in each transaction, because a pooler rejects connection options."""
    statement = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in values.items())

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction; commit when the block ends, roll back when it raises.

    Raises
    ------
    StorageUnavailable, AlreadyStored, InputError
        See the module. After StorageUnavailable from the COMMIT itself it is unknown whether it
        took effect: read the claim again.
    """
    with translated(engine.url), engine.begin() as connection:
        yield connection


def in_transaction(
    engine: Engine,
    call: Callable[Concatenate[Connection, P], R],
    *args: P.args,
    **options: P.kwargs,
) -> R:
    """Return ``call(connection, ...)``, run in one :func:`transaction`.

    Parameters
    ----------
    engine : Engine
    call : callable
    *args, **options
        Arguments of the call after the connection.
    """
    with transaction(engine) as connection:
        return call(connection, *args, **options)


def database_now(connection: Connection) -> datetime:
    """Return the server's time, the clock of ``created_at``."""
    now: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return now


def try_lock(connection: Connection, key: int) -> bool:
    """Try to take an advisory lock until the transaction ends; return whether it was free."""
    query = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(connection.execute(query, {"key": key}).scalar_one())


def probe(engine: Engine, within_s: float = 2.0) -> None:
    """Return if the database answers, else raise.

    Raises
    ------
    StorageUnavailable
    """
    with transaction(engine) as connection:
        connection.execute(text(f"SET LOCAL statement_timeout = {round(within_s * 1000)}"))
        connection.execute(text("SELECT 1"))


def server_version(engine: Engine) -> str:
    """Return the server's version text.

    Raises
    ------
    StorageUnavailable
    """
    with transaction(engine) as connection:
        return str(connection.execute(text("SHOW server_version")).scalar_one())


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Translate errors of SQLAlchemy and psycopg2 raised by the block."""
    try:
        yield
    except (SQLAlchemyError, psycopg2.Error) as error:
        raise translate(error, describe(url)) from error


def translate(error: Exception, store: str) -> AnomalyError:
    """Translate an error of SQLAlchemy or psycopg2 into the project's.

    Parameters
    ----------
    error : Exception
    store : str
        Name of the database in the message.
    """
    original = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "pgcode", None) or ""
    # The server's DETAIL repeats the row, which must not be logged.
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    text = " ".join(str(primary or original).split())[:300]
    if state == "23505":
        return AlreadyStored(f"already stored: {text}")
    for code, (sentence, reason) in _REFUSED.items():
        if state == code or ("FATAL" in text and sentence in text):
            return StorageUnavailable(f"{store} {reason}: {text}", code="storage_refused")
    if "unsupported startup parameter" in text:
        return StorageUnavailable(
            f"{store} is a pooler: set DATABASE_POOLER=true ({text})", code="storage_refused"
        )
    if "certificate" in text or "does not support SSL" in text:
        return StorageUnavailable(
            f"{store}: no TLS connection (DATABASE_SSLMODE, DATABASE_SSLROOTCERT): {text}",
            code="storage_refused",
        )
    if state == "57014":
        return StorageUnavailable(
            f"{store} gave up a statement (DATABASE_STATEMENT_TIMEOUT_S): {text}",
            code="storage_timeout",
        )
    if state in _NO_CHANGES:
        code, sentence = _NO_CHANGES[state]
        return StorageUnavailable(f"{store} {sentence}: {text}", code=code)
    if state in _NO_SCHEMA:
        return StorageUnavailable(
            f"{store} does not have the current schema (python -m db.migrate): {text}",
            code="storage_schema",
        )
    if isinstance(original, CheckViolation) and not original.diag.constraint_name:
        # The partition of these rows was created between planning and storing: retry.
        return StorageUnavailable(
            f"{store} has just changed its partitions", code="storage_moved", retry_after=0.1
        )
    if state[:2] in ("22", "23", "54") or isinstance(original, psycopg2.DataError | ValueError):
        return InputError(f"PostgreSQL rejects a value: {text}", code="unprocessable")
    if not state or state.startswith(_RETRIABLE):
        return StorageUnavailable(f"{store} is not available: {text}")
    return StorageUnavailable(f"{store} failed ({state}): {text}", code="storage_failed")
