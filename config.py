"""Read the settings from the environment or ``.env`` and validate them once at start.

Only entry points call :func:`load_settings` and pass the values on. The environment takes
precedence over ``.env``, and ``.env`` over the defaults here. A variable's name is the field's
name in upper case.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from errors import SettingsError
from schemas import CRITICALITIES

PublishMode = Literal["anomalies", "events", "incidents", "all"]
JournalMode = Literal["anomalies", "all", "none"]


log = logging.getLogger("config")

#: A hundred years: times before now by more may lie outside the calendar.
MAX_DAYS = 36_500
_MAX_S = MAX_DAYS * 86_400
#: Waits and timers, in seconds and milliseconds: beyond 24 days the milliseconds overflow 32 bits,
#: in which sockets, Kafka and PostgreSQL count them.
_MAX_WAIT_S = 2_000_000
_MAX_WAIT_MS = 2_000_000_000
_MONTH_DAYS = 30  # budgets per asset and month count 30 days
#: A name that resembles a setting's this much is taken for a misspelt one (SERVICE_PROT: 0.92).
_ALIKE = 0.9


class Settings(BaseSettings):
    """All settings of service, bridge, training and maintenance. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", use_attribute_docstrings=True
    )

    # -- folders -----------------------------------------------------------------------------
    var_dir: Path = Path("var")
    """folder for everything that the program writes: embedded servers, bundles, caches"""
    data_dir: Path = Path("data")
    """folder of the data sets that POST /train may name"""

    # -- service -----------------------------------------------------------------------------
    service_name: str = "detection-anomalies-service"
    """name shown in /health"""
    service_host: str = "0.0.0.0"
    """address that the service binds to"""
    service_port: int = Field(8084, ge=1, le=65535)
    """port that the service binds to"""
    service_url: str = "http://localhost:8084"
    """address of the service for the bridge and other clients"""
    service_cafile: Path | None = None
    """certificate of the CA that signed an https SERVICE_URL"""
    service_api_key: SecretStr | None = None
    """key that the bridge sends to the service"""
    api_keys: SecretStr = SecretStr("")
    """access keys as name:role:sha256-hex, comma separated; roles are read, detect, operate, train;
    the name may be omitted. Empty: no key is needed"""
    allowed_hosts: str = ""
    """host names of the service, comma separated: other Host headers and other origins are
    rejected, except addresses and localhost. Empty: every name is accepted; if bound to
    loopback, only addresses and localhost"""
    proxy_user_header: str = ""
    """header in which TRUSTED_PROXIES send the user's name, such as X-Remote-User; empty: none"""
    trusted_proxies: str = ""
    """addresses or networks of proxies whose PROXY_USER_HEADER and X-Forwarded-Proto are trusted;
    X-Forwarded-Proto: https makes the page's cookie Secure"""
    service_workers: int = Field(1, ge=1, le=64)
    """number of API worker processes"""
    runner_mode: Literal["inprocess", "processes"] = "inprocess"
    """detectors inside the API process, or each in its own service"""
    max_batch_items: int = Field(5000, ge=1)
    """maximum number of items in one /detect/batch"""
    max_features: int = Field(1000, ge=1)
    """maximum number of features in one reading"""
    max_history: int = Field(1000, ge=0)
    """maximum number of readings in one item's history"""
    max_body_bytes: int = Field(32 * 2**20, ge=1024)
    """maximum size of a request body, decompressed"""
    max_concurrency: int = Field(256, ge=1)
    """maximum number of requests in flight; further ones are answered 429"""
    use_stored_history: bool = True
    """/detect uses the stored window and state of the stream"""
    journal_rest: JournalMode = "anomalies"
    """results of /detect that are stored"""
    train_wait_s: float = Field(300, gt=0, le=_MAX_WAIT_S)
    """maximum time that POST /train waits for the result"""
    train_max_s: float = Field(21_600, gt=0, le=_MAX_WAIT_S)
    """a training job that takes longer is terminated"""
    train_queue_max: int = Field(20, ge=1)
    """maximum number of waiting training jobs (their data are in the database); further ones are
    answered 429"""
    champion_poll_s: float = Field(5, gt=0, le=_MAX_WAIT_S)
    """interval of reading the champion alias"""
    request_deadline_s: float = Field(30, gt=0, le=_MAX_WAIT_S)
    """a detection that takes longer is answered 503"""
    score_batch: int = Field(1024, ge=1)
    """maximum number of readings scored together"""
    score_inline: int = Field(32, ge=0)
    """batches up to this many readings are scored in the event loop, larger ones in a thread"""
    lookup_timeout_s: float = Field(1, gt=0, le=_MAX_WAIT_S)
    """/detect waits this long for the database, then scores without it"""
    access_log: bool = False
    """write one log line per request"""
    runner_urls: str = ""
    """runners on other hosts (RUNNER_MODE=processes): name=http://host:port, comma separated. The
    network between must be private, because a runner executes pickled objects that it receives"""
    runner_max_batch: int = Field(256, ge=1)
    """maximum number of calls that a runner service processes together"""
    runner_max_latency_ms: int = Field(1000, ge=1, le=_MAX_WAIT_MS)
    """a runner service rejects calls that it cannot answer within this time"""

    # -- detection ---------------------------------------------------------------------------
    budget_critical: float = Field(1e-2, gt=0, lt=1)
    """false alarms per reading, asset criticality critical"""
    budget_high: float = Field(10**-2.5, gt=0, lt=1)
    """false alarms per reading, asset criticality high"""
    budget_medium: float = Field(1e-3, gt=0, lt=1)
    """false alarms per reading, asset criticality medium"""
    budget_low: float = Field(1e-4, gt=0, lt=1)
    """false alarms per reading, asset criticality low"""
    incident_budget_critical: float = Field(4, gt=0)
    """false incidents per asset and month (30 days, all streams of the asset), asset criticality
    critical"""
    incident_budget_high: float = Field(2, gt=0)
    """the same, asset criticality high"""
    incident_budget_medium: float = Field(1, gt=0)
    """the same, asset criticality medium"""
    incident_budget_low: float = Field(0.25, gt=0)
    """the same, asset criticality low"""
    incident_at_once_share: float = Field(0.1, ge=0, le=1)
    """share of the incident budget for incidents that a single rare reading opens at once; 0: every
    incident waits until the alarm has lasted"""
    incident_fleet_budget: float | None = Field(None, gt=0)
    """false incidents of the whole fleet per operator and day, distributed over FLEET_ASSETS in
    proportion to their own budgets; it can only reduce those. Unset: no fleet limit"""
    operator_positions: int = Field(1, ge=1, le=1000)
    """number of people who handle alarms at the same time"""
    fleet_assets: str = ""
    """number of assets per criticality for INCIDENT_FLEET_BUDGET, such as critical=2,medium=80"""
    adaptation: bool = True
    """adapt the tail of each stream to its own readings"""
    event_silence_s: float = Field(7200, gt=0, le=_MAX_S)
    """an event ends after this time without readings of it"""
    reopen_gap_s: float = Field(0, ge=0, le=_MAX_S)
    """a new event joins an incident that cleared at most this long ago; 0: the larger of 600 s and
    20 intervals of the stream"""
    incident_at_once: Literal["low", "medium", "high", "critical"] = "critical"
    """severity from which a reading journalled by REST opens an incident, if the bundle has no rule
    for it"""
    incident_close_after_s: float = Field(604_800, gt=0, le=_MAX_S)
    """cleared and acknowledged incidents are closed after this time"""
    max_shelve_s: float = Field(604_800, gt=0, le=366 * 86_400)
    """maximum time for which an incident can be shelved"""
    feedback_raise: float = Field(0.5, ge=0, le=6)
    """each reported false alarm makes the peaks that open incidents of its asset this many decades
    rarer; 0: no effect"""
    feedback_raise_max: float = Field(2, ge=0, le=6)
    """maximum of the sum of these raises, in decades"""
    feedback_raise_days: int = Field(30, ge=1, le=3660)
    """days for which a raise lasts"""
    chatter_openings: int = Field(3, ge=2, le=1000)
    """a stream chatters if it alarms this often within CHATTER_SPAN_S"""
    chatter_span_s: float = Field(3600, gt=0, le=366 * 86_400)
    """time span of CHATTER_OPENINGS"""
    accept_shift_after: int = Field(0, ge=0)
    """consecutive readings beyond p = 1e-2 after which a persistent shift becomes the new normal;
    0: never"""
    persistent_after: int = Field(1000, ge=0, le=1_000_000)
    """readings of a shift after which its event is persistent and readings are compared with the
    steady new level; 0: never"""

    # -- Kafka -------------------------------------------------------------------------------
    kafka_bootstrap_servers: str = "localhost:9092"
    """brokers, comma separated"""
    kafka_consumer_group: str = "detection-anomalies-service"
    """consumer group id of the bridge"""
    kafka_auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    """where to start in a partition without a stored offset"""
    kafka_topic_input_features: str = "extracted-features"
    """input topic of readings"""
    kafka_topic_output_anomalies: str = "anomalies-detected"
    """output topic of anomalies"""
    kafka_topic_dead_letter: str = "extracted-features-dead-letter"
    """output topic of records that could not be scored"""
    kafka_publish: PublishMode = "anomalies"
    """messages on the output topic: anomalies (each anomalous reading), events, incidents (openings
    and rises of severity; choose this if each message opens a work order) or all"""
    kafka_topic_incidents: str = ""
    """compacted output topic of incidents: the whole incident at every change, key = id; empty:
    none"""
    kafka_group_instance_id: str | None = None
    """static membership: unique per bridge and unchanged by its restart"""
    kafka_session_timeout_ms: int = Field(45_000, ge=1000, le=_MAX_WAIT_MS)
    """the group removes a member that is silent for this long"""
    kafka_heartbeat_interval_ms: int = Field(3000, ge=100, le=_MAX_WAIT_MS)
    """interval of heartbeats; below a third of the session timeout"""
    kafka_metadata_max_age_ms: int = Field(5_000, ge=500, le=_MAX_WAIT_MS)
    """maximum time until a change of a topic is noticed"""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """security protocol of the brokers' listener"""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """used with SASL_PLAINTEXT and SASL_SSL"""
    kafka_sasl_username: str | None = None
    """required with a SASL protocol"""
    kafka_sasl_password: SecretStr | None = None
    """required with a SASL protocol; never logged"""
    kafka_ssl_cafile: Path | None = None
    """certificate of the CA that signed the brokers' certificates"""
    kafka_ssl_certfile: Path | None = None
    """client certificate"""
    kafka_ssl_keyfile: Path | None = None
    """key of the client certificate"""
    kafka_ssl_password: SecretStr | None = None
    """password of this key"""
    kafka_ssl_check_hostname: bool = True
    """verify that the brokers' certificates match their host names"""

    # -- bridge ------------------------------------------------------------------------------
    bridge_lanes: int = Field(4, ge=1, le=64)
    """number of worker threads, and so of batches in flight; each works on other partitions"""
    bridge_batch_max: int = Field(2000, ge=1, le=50_000)
    """maximum number of records in a batch"""
    bridge_batch_age_ms: float = Field(10, ge=0, le=_MAX_WAIT_MS)
    """a batch starts when its oldest record has waited this long"""
    bridge_batch_seconds: float = Field(4, gt=0, le=_MAX_WAIT_S)
    """batches that take longer are followed by smaller ones"""
    bridge_buffer_mb: float = Field(64, gt=0)
    """memory for records that are fetched and not yet stored"""
    bridge_unreadable_tries: int = Field(10, ge=1)
    """fetches of a damaged record before it becomes a dead letter"""
    bridge_streams_mb: float = Field(640, gt=0)
    """memory for cached streams of all partitions; other streams are read from the database
    again"""
    bridge_outbox_days: float = Field(7, gt=0, le=MAX_DAYS)
    """messages that their topic rejects are given up after this time"""
    bridge_score_timeout_s: float = Field(60, gt=0, le=_MAX_WAIT_S)
    """maximum time for an answer of the service"""
    bridge_revoke_s: float = Field(5, gt=0, le=_MAX_WAIT_S)
    """time to finish batches when partitions are revoked"""
    bridge_stop_s: float = Field(20, gt=0, le=_MAX_WAIT_S)
    """time to finish batches after SIGTERM"""
    bridge_future_s: float = Field(3600, ge=0, le=_MAX_S)
    """a reading may be this far ahead of its record's time (over REST: of now)"""
    bridge_silent_s: float = Field(3600, gt=0, le=_MAX_S)
    """a stream without readings for this long counts as silent"""
    bridge_metrics_port: int | None = Field(None, ge=0, le=65535)
    """port of the bridge's Prometheus endpoint; unset: none"""
    refusal_pause: bool = True
    """pause if the service rejects nearly all streams, because the configuration is then wrong"""
    refusal_window: int = Field(1000, ge=1)
    """newest records of each partition that decide about the pause"""
    refusal_share: float = Field(0.95, gt=0, le=1)
    """share of rejected streams that causes the pause"""
    refusal_retry_s: float = Field(300, gt=0, le=_MAX_WAIT_S)
    """interval of retries during the pause"""

    # -- notifications -----------------------------------------------------------------------
    notify_routes: str = ""
    """TOML file of the routes of notifications; empty: nobody is notified"""
    notify_wait_days: float = Field(7, gt=0, le=MAX_DAYS)
    """a notification that its receiver does not accept is given up after this time"""
    notify_retention_days: int = Field(90, ge=1, le=MAX_DAYS)
    """how long sent notifications are recorded"""
    notify_metrics_port: int | None = Field(None, ge=0, le=65535)
    """port of the sender's Prometheus endpoint; unset: none"""

    # -- MLflow ------------------------------------------------------------------------------
    mlflow_tracking_uri: str | None = None
    """address of MLflow; unset: SQLite under VAR_DIR"""
    mlflow_experiment_name: str = "anomaly-detection"
    """name of the experiment and of the registered model"""
    mlflow_enabled: bool = True
    """false: train and serve without MLflow"""

    # -- PostgreSQL --------------------------------------------------------------------------
    database_url: SecretStr | None = None
    """address of the database; takes precedence over DATABASE_HOST"""
    database_host: str | None = None
    """host of the server; if neither host nor URL is set, an embedded PostgreSQL is started"""
    database_port: int = Field(5432, ge=1, le=65535)
    """port of the server"""
    database_name: str = "predictive_maintenance"
    """name of the database"""
    database_user: str | None = None
    """required with DATABASE_HOST"""
    database_password: SecretStr | None = None
    """password of the user; never logged"""
    database_sslmode: (
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None
    ) = None
    """TLS mode of the connection; unset: as in the URL"""
    database_sslrootcert: Path | None = None
    """certificate of the CA that signed the server's certificate"""
    database_sslcert: Path | None = None
    """client certificate"""
    database_sslkey: Path | None = None
    """key of the client certificate"""
    database_pool_size: int = Field(5, ge=1)
    """connections that each process keeps open"""
    database_pool_overflow: int = Field(10, ge=0)
    """additional connections under load"""
    database_pool_timeout_s: float = Field(10, gt=0, le=_MAX_WAIT_S)
    """maximum wait for a free connection of the pool"""
    database_pool_recycle_s: int = Field(1800, ge=1, le=_MAX_WAIT_S)
    """connections are replaced after this age"""
    database_connect_timeout_s: int = Field(5, ge=1, le=_MAX_WAIT_S)
    """maximum wait for a new connection"""
    database_statement_timeout_s: float = Field(60, gt=0, le=_MAX_WAIT_S)
    """maximum duration of a statement"""
    database_idle_timeout_s: float = Field(20, gt=0, le=_MAX_WAIT_S)
    """the server ends a transaction that is idle for this long, because its client hangs"""
    database_partition: Literal["day", "month"] = "month"
    """time span of one partition of anomaly_detections"""
    database_partitions_ahead: int = Field(3, ge=1, le=60)
    """future partitions that are created in advance"""
    database_pooler: bool = False
    """PostgreSQL is reached through PgBouncer or a similar pooler (any pool_mode)"""
    retention_days: int = Field(0, ge=0, le=MAX_DAYS)
    """detections older than this are deleted; 0: never"""
    dead_letter_retention_days: int = Field(365, ge=0, le=MAX_DAYS)
    """dead letters older than this, or than RETENTION_DAYS if that is shorter, are deleted; 0: as
    RETENTION_DAYS"""
    state_retention_days: int = Field(365, ge=0, le=MAX_DAYS)
    """states of streams silent for this long are deleted; 0: never"""
    incident_retention_days: int = Field(0, ge=0, le=MAX_DAYS)
    """incidents without activity for this long are deleted, unless open; 0: never"""
    training_job_retention_days: int = Field(90, ge=0, le=MAX_DAYS)
    """jobs of POST /train older than this are deleted; 0: never"""

    # -- training ----------------------------------------------------------------------------
    train_stored_days: int = Field(90, ge=0, le=MAX_DAYS)
    """days that --data postgresql reads without --since; 0: all"""
    train_stored_rows: int = Field(2_000_000, ge=1)
    """maximum number of readings that --data postgresql reads, the newest ones"""
    bundles_kept: int = Field(10, ge=2)
    """newest bundles kept under VAR_DIR and in the Bento store"""

    # -- logs --------------------------------------------------------------------------------
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """least severe level that is logged"""
    log_json: bool = False
    """write one JSON object per line"""

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("service_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        value = scheme.lower() + separator + rest
        if not re.match(r"https?://[^/\s]", value):
            raise ValueError("must be an address like http://host:8084")
        return value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _brokers(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must be brokers like host1:9092,host2:9092")
        return value

    @model_validator(mode="after")
    def _experiment_names_a_model(self) -> Settings:
        name = self.mlflow_experiment_name
        if self.mlflow_enabled and not re.fullmatch(r"(?=.*\S)[^/:'\n\x00]{1,250}", name):
            raise ValueError(
                f"MLFLOW_EXPERIMENT_NAME: {name[:250]!r} also names the registered model, so it"
                " must be 1 to 250 characters without / : ' and line breaks"
            )
        return self

    @field_validator("fleet_assets")
    @classmethod
    def _counts_by_criticality(cls, value: str) -> str:
        names = [part.split("=")[0].strip() for part in value.split(",")]
        like = r"(\s*(critical|high|medium|low)\s*=\s*\d{1,9}\s*(,|$))*"
        if not re.fullmatch(like, value) or len(set(names)) < len(names):
            raise ValueError("must be like critical=2,high=10,medium=80,low=5")
        return value

    @model_validator(mode="after")
    def _a_fleet_has_assets(self) -> Settings:
        if self.incident_fleet_budget is not None and not any(self._fleet().values()):
            raise ValueError(
                "INCIDENT_FLEET_BUDGET is set, so FLEET_ASSETS must give the number of assets"
            )
        return self

    @model_validator(mode="after")
    def _host_needs_user(self) -> Settings:
        if self.database_url is None and self.database_host and not self.database_user:
            raise ValueError("DATABASE_HOST is set, so DATABASE_USER must be set too")
        return self

    def budgets(self) -> dict[str, float]:
        """Return the false-alarm budget (probability per reading) by criticality of the asset."""
        return {name: getattr(self, f"budget_{name}") for name in CRITICALITIES}

    def policy(self) -> dict[str, Any]:
        """Return the arguments of the ``ScoringPolicy`` that service and training use."""
        return {
            "budgets": self.budgets(),
            "adaptation": self.adaptation,
            "event_silence_s": self.event_silence_s,
            "accept_shift_after": self.accept_shift_after,
            "persistent_after": self.persistent_after,
            "incident_budgets": self.incident_budgets(),
            "incident_at_once": self.incident_at_once_share,
            "feedback_raise": self.feedback_raise,
            "feedback_raise_max": self.feedback_raise_max,
        }

    def incident_budgets(self) -> dict[str, float]:
        """Return the false incidents per asset and month, by criticality of the asset.

        If their sum exceeds the fleet's budget, all are reduced by one factor.
        """
        own: dict[str, float] = {
            name: getattr(self, f"incident_budget_{name}") for name in CRITICALITIES
        }
        if self.incident_fleet_budget is None:
            return own
        asked = sum(count * own[criticality] for criticality, count in self._fleet().items())
        allowed = self.incident_fleet_budget * self.operator_positions * _MONTH_DAYS
        return {name: budget * min(1.0, allowed / asked) for name, budget in own.items()}

    def _fleet(self) -> dict[str, int]:
        """Return the number of assets by criticality."""
        found = re.findall(r"(\w+)\s*=\s*(\d+)", self.fleet_assets)
        return {criticality: int(count) for criticality, count in found}

    def mlflow_uri(self) -> str:
        """Return the tracking URI: as configured, else a SQLite file under VAR_DIR."""
        if self.mlflow_tracking_uri:
            return self.mlflow_tracking_uri
        return f"sqlite:///{(self.var_dir / 'mlflow' / 'mlflow.db').absolute()}"


def load_settings(**overrides: object) -> Settings:
    """Read the settings; an error names the wrong one as in the environment.

    Raises
    ------
    SettingsError
        Names the setting, the reason, and (unless it is a secret) the value.
    """
    for name, meant in misspelt([*os.environ, *_dotenv_names()]).items():
        _warn_of(name, meant)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).upper() or "settings"
        secret = any(word in name for word in ("KEY", "PASSWORD", "URL"))
        value = "" if secret or not first["loc"] else f" (got {first['input']!r})"
        raise SettingsError(
            f"{name}: {first['msg'].removeprefix('Value error, ')}{value}", field=name
        ) from None


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Return the names that are no settings but resemble one, each with the setting.

    Others cannot be judged: the environment and ``.env`` are shared with other programs.
    """
    known = [name.upper() for name in Settings.model_fields]
    words = {name.partition("_")[0][:3] for name in known}
    found = {}
    for name in dict.fromkeys(name.upper() for name in names):
        if name in known or name[:3] not in words:  # most are foreign; comparing takes time
            continue
        if alike := get_close_matches(name, known, n=1, cutoff=_ALIKE):
            found[name] = alike[0]
    return found


def _dotenv_names() -> list[str]:
    try:
        text = Path(".env").read_text(encoding="utf-8", errors="replace")
    except OSError:  # missing, or reading the settings will say why it cannot be read
        return []
    return re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", text, re.MULTILINE)


@cache
def _warn_of(name: str, meant: str) -> None:
    """Warn once per process."""
    log.warning("%s is not a setting and has no effect: is %s meant?", name, meant)
