"""Settings: one class, read from the environment or ``.env``, checked once at start.

Only entry points call :func:`load_settings`; everything else is given the values it needs.
Environment beats ``.env``, which beats the defaults here. Names are the upper-case field names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from errors import SettingsError
from schemas import CRITICALITIES

PublishMode = Literal["anomalies", "events", "incidents", "all"]
JournalMode = Literal["anomalies", "all", "none"]


_MONTH_DAYS = 30  # of budgets per asset and month


class Settings(BaseSettings):
    """All settings of service, bridge, training and maintenance. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", use_attribute_docstrings=True
    )

    # -- folders -----------------------------------------------------------------------------
    var_dir: Path = Path("var")
    """everything the embedded parts write"""
    data_dir: Path = Path("data")
    """data sets that POST /train may name"""

    # -- service -----------------------------------------------------------------------------
    service_name: str = "detection-anomalies-service"
    """name in /health"""
    service_host: str = "0.0.0.0"
    """address the service binds"""
    service_port: int = Field(8084, ge=1, le=65535)
    """port the service binds"""
    service_url: str = "http://localhost:8084"
    """where the bridge finds it"""
    service_cafile: Path | None = None
    """CA that signed the certificate of an https SERVICE_URL"""
    service_api_key: SecretStr | None = None
    """the bridge's key"""
    api_keys: SecretStr = SecretStr("")
    """name:role:sha256-hex, comma separated; roles read, detect, operate, train; the name may be
    left out; empty: open"""
    allowed_hosts: str = ""
    """the service's names, comma separated, for Host and for pages that may call it; addresses and
    localhost pass. Empty: any, but none when bound to loopback"""
    proxy_user_header: str = ""
    """header in which TRUSTED_PROXIES say who calls (X-Remote-User); empty: none"""
    trusted_proxies: str = ""
    """addresses or networks whose PROXY_USER_HEADER is believed, and whose X-Forwarded-Proto: https
    makes the page's cookie Secure"""
    service_workers: int = Field(1, ge=1, le=64)
    """API worker processes"""
    runner_mode: Literal["inprocess", "processes"] = "inprocess"
    """runners inside the API process, or services of their own"""
    max_batch_items: int = Field(5000, ge=1)
    """items in one /detect/batch"""
    max_features: int = Field(1000, ge=1)
    """features in one reading"""
    max_history: int = Field(1000, ge=0)
    """readings in one item's history"""
    max_body_bytes: int = Field(32 * 2**20, ge=1024)
    """largest request body"""
    max_concurrency: int = Field(256, ge=1)
    """requests in flight before 429"""
    use_stored_history: bool = True
    """/detect reads a stream's stored window and state"""
    journal_rest: JournalMode = "anomalies"
    """what /detect stores"""
    train_wait_s: float = Field(300, gt=0)
    """how long POST /train waits"""
    train_max_s: float = Field(21_600, gt=0)
    """a training job is ended after this"""
    train_queue_max: int = Field(20, ge=1)
    """training jobs waiting at once, their data in the database; then 429"""
    champion_poll_s: float = Field(5, gt=0)
    """how often the champion alias is read"""
    request_deadline_s: float = Field(30, gt=0)
    """a detection not done by then: 503"""
    score_batch: int = Field(1024, ge=1)
    """readings scored together at most"""
    score_inline: int = Field(32, ge=0)
    """batches up to this are scored in the event loop, larger in a thread"""
    lookup_timeout_s: float = Field(1, gt=0)
    """/detect waits no longer for the database, then goes on without it"""
    access_log: bool = False
    """a log line for each request"""
    runner_urls: str = ""
    """name=http://host:port, comma separated: runners elsewhere (RUNNER_MODE=processes). The
    network between must be private: a runner runs whatever it is sent"""
    runner_max_batch: int = Field(256, ge=1)
    """calls a runner service takes together"""
    runner_max_latency_ms: int = Field(1000, ge=1)
    """a runner service refuses calls it cannot answer within this"""

    # -- detection ---------------------------------------------------------------------------
    budget_critical: float = Field(1e-2, gt=0, lt=1)
    """false alarms per reading"""
    budget_high: float = Field(10**-2.5, gt=0, lt=1)
    """false alarms per reading"""
    budget_medium: float = Field(1e-3, gt=0, lt=1)
    """false alarms per reading"""
    budget_low: float = Field(1e-4, gt=0, lt=1)
    """false alarms per reading"""
    incident_budget_critical: float = Field(4, gt=0)
    """false incidents per asset and month (30 days), all its streams"""
    incident_budget_high: float = Field(2, gt=0)
    """false incidents per asset and month"""
    incident_budget_medium: float = Field(1, gt=0)
    """false incidents per asset and month"""
    incident_budget_low: float = Field(0.25, gt=0)
    """false incidents per asset and month"""
    incident_at_once_share: float = Field(0.1, ge=0, le=1)
    """share of these that may open at once, by one reading rare enough; 0: all wait until the alarm
    has lasted"""
    incident_fleet_budget: float | None = Field(None, gt=0)
    """false incidents of the whole fleet per operator and day, shared out among FLEET_ASSETS in
    proportion to their own budgets, which it only makes smaller; unset: no such bound"""
    operator_positions: int = Field(1, ge=1, le=1000)
    """people who deal with alarms at any one time"""
    fleet_assets: str = ""
    """assets that share INCIDENT_FLEET_BUDGET, such as critical=2,medium=80"""
    adaptation: bool = True
    """let each stream's tail follow the stream"""
    event_silence_s: float = Field(7200, gt=0)
    """an event ends after this silence"""
    reopen_gap_s: float = Field(0, ge=0)
    """a new event joins an incident that cleared no longer ago; 0: the larger of 600 s and 20
    intervals of the stream"""
    incident_at_once: Literal["low", "medium", "high", "critical"] = "critical"
    """a reading that REST journals opens an incident from this severity on, where the bundle has no
    rule of its own"""
    incident_close_after_s: float = Field(604_800, gt=0)
    """cleared and acknowledged incidents are closed after this"""
    max_shelve_s: float = Field(604_800, gt=0, le=366 * 86_400)
    """an incident is shelved no longer"""
    feedback_raise: float = Field(0.5, ge=0, le=6)
    """each false alarm reported makes its asset's incidents ask for peaks so many decades rarer; 0:
    it does not"""
    feedback_raise_max: float = Field(2, ge=0, le=6)
    """all of them together at most"""
    feedback_raise_days: int = Field(30, ge=1, le=3660)
    """for so many days"""
    chatter_openings: int = Field(3, ge=2, le=1000)
    """a stream chatters that alarms so often ..."""
    chatter_span_s: float = Field(3600, gt=0, le=366 * 86_400)
    """... within this"""
    accept_shift_after: int = Field(0, ge=0)
    """readings in a row beyond p = 1e-2 after which a persistent shift is the new normal; 0:
    never"""
    persistent_after: int = Field(1000, ge=0, le=1_000_000)
    """readings of a shift after which its event is persistent and the stream judged from its steady
    new level on; 0: never"""

    # -- Kafka -------------------------------------------------------------------------------
    kafka_bootstrap_servers: str = "localhost:9092"
    """brokers, comma separated"""
    kafka_consumer_group: str = "detection-anomalies-service"
    """group id"""
    kafka_auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    """where to start in a partition nobody has read"""
    kafka_topic_input_features: str = "extracted-features"
    """readings in"""
    kafka_topic_output_anomalies: str = "anomalies-detected"
    """anomalies out"""
    kafka_topic_dead_letter: str = "extracted-features-dead-letter"
    """records that could not be scored"""
    kafka_publish: PublishMode = "anomalies"
    """what is published: anomalies (each reading, as older readers expect), events, incidents
    (openings and rises: take this where each message is a work order) or all"""
    kafka_topic_incidents: str = ""
    """incidents out, whole at every change, key = id, compacted; empty: none"""
    kafka_group_instance_id: str | None = None
    """static membership: unique per bridge, the same after its restart"""
    kafka_session_timeout_ms: int = Field(45_000, ge=1000)
    """member lost after this"""
    kafka_heartbeat_interval_ms: int = Field(3000, ge=100)
    """under a third of it"""
    kafka_metadata_max_age_ms: int = Field(5_000, ge=500)
    """notice topic changes"""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """as the brokers' listener has it"""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """with SASL_PLAINTEXT and SASL_SSL"""
    kafka_sasl_username: str | None = None
    """with a SASL protocol"""
    kafka_sasl_password: SecretStr | None = None
    """never logged"""
    kafka_ssl_cafile: Path | None = None
    """who signed the brokers"""
    kafka_ssl_certfile: Path | None = None
    """our certificate"""
    kafka_ssl_keyfile: Path | None = None
    """our key"""
    kafka_ssl_password: SecretStr | None = None
    """of our key"""
    kafka_ssl_check_hostname: bool = True
    """brokers must be who they say"""

    # -- bridge ------------------------------------------------------------------------------
    bridge_lanes: int = Field(4, ge=1, le=64)
    """batches in flight at once, each of other partitions"""
    bridge_batch_max: int = Field(2000, ge=1, le=50_000)
    """records in one batch at most"""
    bridge_batch_age_ms: float = Field(10, ge=0)
    """a record waits no longer for others"""
    bridge_batch_seconds: float = Field(4, gt=0)
    """longer batches are made smaller"""
    bridge_buffer_mb: float = Field(64, gt=0)
    """records fetched and not yet stored"""
    bridge_unreadable_tries: int = Field(10, ge=1)
    """to fetch damaged records before they are dead letters"""
    bridge_streams_mb: float = Field(640, gt=0)
    """streams remembered, all partitions together; others are read again when met"""
    bridge_outbox_days: float = Field(7, gt=0)
    """messages that their topic refuses wait no longer to be published"""
    bridge_score_timeout_s: float = Field(60, gt=0)
    """for one answer of the service"""
    bridge_revoke_s: float = Field(5, gt=0)
    """to finish a batch when partitions go"""
    bridge_stop_s: float = Field(20, gt=0)
    """to finish in after SIGTERM"""
    bridge_future_s: float = Field(3600, ge=0)
    """how far a reading may lie after its record; by REST: after now"""
    bridge_silent_s: float = Field(3600, gt=0)
    """a stream is silent after this"""
    bridge_metrics_port: int | None = Field(None, ge=0, le=65535)
    """Prometheus endpoint; unset: none"""
    refusal_pause: bool = True
    """pause when the set-up refuses nearly all streams"""
    refusal_window: int = Field(1000, ge=1)
    """records of each partition that the pause is judged on"""
    refusal_share: float = Field(0.95, gt=0, le=1)
    """share of the streams that must be refused for the pause"""
    refusal_retry_s: float = Field(300, gt=0)
    """tries again this often"""

    # -- notifications -----------------------------------------------------------------------
    notify_routes: str = ""
    """TOML file that says who is notified of incidents; empty: nobody"""
    notify_wait_days: float = Field(7, gt=0)
    """what a receiver does not take waits no longer, then is given up"""
    notify_retention_days: int = Field(90, ge=1)
    """how long it is remembered who was notified of what"""
    notify_metrics_port: int | None = Field(None, ge=0, le=65535)
    """Prometheus endpoint of the sender; unset: none"""

    # -- MLflow ------------------------------------------------------------------------------
    mlflow_tracking_uri: str | None = None
    """unset: SQLite under VAR_DIR"""
    mlflow_experiment_name: str = "anomaly-detection"
    """experiment and model"""
    mlflow_enabled: bool = True
    """false: train and serve without MLflow"""

    # -- PostgreSQL --------------------------------------------------------------------------
    database_url: SecretStr | None = None
    """wins over DATABASE_HOST"""
    database_host: str | None = None
    """unset, with no URL: embedded"""
    database_port: int = Field(5432, ge=1, le=65535)
    """port of the server"""
    database_name: str = "predictive_maintenance"
    """name of the database"""
    database_user: str | None = None
    """needed with DATABASE_HOST"""
    database_password: SecretStr | None = None
    """never logged"""
    database_sslmode: (
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None
    ) = None
    """TLS to PostgreSQL; unset: as the URL says"""
    database_sslrootcert: Path | None = None
    """CA that signed the server's key"""
    database_sslcert: Path | None = None
    """this client's certificate"""
    database_sslkey: Path | None = None
    """this client's key"""
    database_pool_size: int = Field(5, ge=1)
    """connections kept open per process"""
    database_pool_overflow: int = Field(10, ge=0)
    """more of them under load"""
    database_pool_timeout_s: float = Field(10, gt=0)
    """wait for a free connection"""
    database_pool_recycle_s: int = Field(1800, ge=1)
    """oldest age of a connection"""
    database_connect_timeout_s: int = Field(5, ge=1)
    """wait for the server"""
    database_statement_timeout_s: float = Field(60, gt=0)
    """longest statement"""
    database_idle_timeout_s: float = Field(20, gt=0)
    """the server ends a transaction left idle this long (frozen client)"""
    database_partition: Literal["day", "month"] = "month"
    """span of one partition of anomaly_detections"""
    database_partitions_ahead: int = Field(3, ge=1, le=60)
    """coming partitions that are kept ready"""
    database_pooler: bool = False
    """PostgreSQL is reached by PgBouncer or its like (pool_mode transaction too)"""
    retention_days: int = Field(0, ge=0)
    """detections older than this go; 0: kept for ever"""
    dead_letter_retention_days: int = Field(365, ge=0)
    """dead letters, where RETENTION_DAYS is not shorter; 0: as that"""
    state_retention_days: int = Field(365, ge=0)
    """states of streams silent this long go; 0: kept for ever"""
    incident_retention_days: int = Field(0, ge=0)
    """incidents without activity this long go, unless open; 0: never"""
    training_job_retention_days: int = Field(90, ge=0)
    """jobs of POST /train that are older go; 0: kept for ever"""

    # -- training ----------------------------------------------------------------------------
    train_stored_days: int = Field(90, ge=0)
    """days that --data postgresql reads without --since; 0: all"""
    train_stored_rows: int = Field(2_000_000, ge=1)
    """--data postgresql reads the newest so many readings at most"""
    bundles_kept: int = Field(10, ge=2)
    """newest bundles kept under VAR_DIR and in the Bento store"""

    # -- logs --------------------------------------------------------------------------------
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """least severe level that is logged"""
    log_json: bool = False
    """one JSON object per line"""

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _experiment_names_a_model(self) -> Settings:
        name = self.mlflow_experiment_name
        if self.mlflow_enabled and not re.fullmatch(r"(?=.*\S)[^/:'\n\x00]{1,250}", name):
            raise ValueError(
                f"MLFLOW_EXPERIMENT_NAME: {name[:250]!r} cannot name the registered model as well:"
                " text of 1 to 250 characters without / : ' and line ends"
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
            raise ValueError("INCIDENT_FLEET_BUDGET is set, so FLEET_ASSETS must say of how many")
        return self

    @model_validator(mode="after")
    def _host_needs_user(self) -> Settings:
        if self.database_url is None and self.database_host and not self.database_user:
            raise ValueError("DATABASE_HOST is set, so DATABASE_USER must be set too")
        return self

    def budgets(self) -> dict[str, float]:
        """False-alarm budget (probability per reading) by criticality of the asset."""
        return {name: getattr(self, f"budget_{name}") for name in CRITICALITIES}

    def policy(self) -> dict[str, Any]:
        """Return the arguments of the ``ScoringPolicy`` by which service and training judge."""
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

        All are made smaller by one factor where the fleet's would exceed its own budget.
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
        """Return the tracking URI in force: as configured, else a SQLite file under VAR_DIR."""
        if self.mlflow_tracking_uri:
            return self.mlflow_tracking_uri
        return f"sqlite:///{(self.var_dir / 'mlflow' / 'mlflow.db').absolute()}"


def load_settings(**overrides: object) -> Settings:
    """Read the settings; a wrong one is reported by its environment name.

    Raises
    ------
    SettingsError
        Names the setting, the reason, and (unless it is a secret) the value.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).upper() or "settings"
        secret = any(word in name for word in ("KEY", "PASSWORD", "URL"))
        value = "" if secret or not first["loc"] else f" (got {first['input']!r})"
        raise SettingsError(f"{name}: {first['msg']}{value}", field=name) from None
