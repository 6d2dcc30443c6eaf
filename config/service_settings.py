"""Settings of the REST service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, field_validator

from config.section import MAX_WAIT_MS, MAX_WAIT_S, Section

JournalMode = Literal["anomalies", "all", "none"]
#: As in the header Host, without a port; empty after a comma too many.
_HOST_OR_ADDRESS: Final = re.compile(r"[A-Za-z0-9._-]*|[0-9A-Fa-f]*(:[0-9A-Fa-f.]*){2,7}")


class ServiceSettings(Section):
    """Addresses, access, limits and runners of the service."""

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
    """host names of the service, without scheme and port, comma separated: other Host headers and
    other origins are rejected, except addresses and localhost. Empty: every name is accepted; if
    bound to loopback, only addresses and localhost"""
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
    train_wait_s: float = Field(300, gt=0, le=MAX_WAIT_S)
    """maximum time that POST /train waits for the result"""
    train_max_s: float = Field(21_600, gt=0, le=MAX_WAIT_S)
    """a training job that takes longer is terminated"""
    train_queue_max: int = Field(20, ge=1)
    """maximum number of waiting training jobs (their data are in the database); further ones are
    answered 429"""
    champion_poll_s: float = Field(5, gt=0, le=MAX_WAIT_S)
    """interval of reading the champion alias"""
    request_deadline_s: float = Field(30, gt=0, le=MAX_WAIT_S)
    """a detection that takes longer is answered 503"""
    score_batch: int = Field(1024, ge=1)
    """maximum number of readings scored together"""
    score_inline: int = Field(32, ge=0)
    """batches up to this many readings are scored in the event loop, larger ones in a thread"""
    lookup_timeout_s: float = Field(1, gt=0, le=MAX_WAIT_S)
    """/detect waits this long for the database, then scores without it"""
    access_log: bool = False
    """write one log line per request"""
    runner_urls: str = ""
    """runners on other hosts (RUNNER_MODE=processes): name=http://host:port, comma separated. The
    network between must be private, because a runner executes pickled objects that it receives"""
    runner_max_batch: int = Field(256, ge=1)
    """maximum number of calls that a runner service processes together"""
    runner_max_latency_ms: int = Field(1000, ge=1, le=MAX_WAIT_MS)
    """a runner service rejects calls that it cannot answer within this time"""

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: str) -> str:
        for name in value.split(","):
            if not _HOST_OR_ADDRESS.fullmatch(name.strip()):
                raise ValueError(
                    "must be host names without scheme, port and patterns, like"
                    f" anomalies.plant.example; {name.strip()!r} is none"
                )
        return value

    @field_validator("service_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        value = scheme.lower() + separator + rest.rstrip("/")  # paths are appended to it
        if not re.match(r"https?://[^/\s]", value):
            raise ValueError("must be an address like http://host:8084")
        return value
