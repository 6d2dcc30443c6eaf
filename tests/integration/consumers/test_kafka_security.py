"""Logins and certificates of a real Apache Kafka: valid ones work, invalid ones are reported."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion

from config import Settings
from consumers import bridge
from consumers.broker import clients
from consumers.preflight import probe_broker
from errors import BrokerUnavailable, SettingsError
from tests.fixtures.broker import Broker, free_port_pair, kafka_home
from tests.fixtures.tools import in_ci
from tests.integration.tls import Certificates, certificates

pytestmark = [
    pytest.mark.skipif(
        kafka_home() is None and not in_ci(),
        reason="the embedded broker has no logins: unpack Apache Kafka, name it in KAFKA_HOME",
    ),
    # kafka-python leaves the socket of a failed handshake to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MODULES = "org.apache.kafka.common.security"
LOGIN = {"kafka_sasl_username": "bridge", "kafka_sasl_password": "right-secret"}


class GuardedBroker(Broker):
    """Apache Kafka with listeners SASL_PLAINTEXT, SSL and SASL_SSL beside the open one."""

    def __init__(self, folder: Path, made: Certificates) -> None:
        # a PEM key store: the key, then its certificates
        self._store = folder / "store.pem"
        folder.mkdir(parents=True, exist_ok=True)
        self._store.write_bytes(made.key.read_bytes() + made.certificate.read_bytes())
        self.ports: dict[str, int] = {}
        super().__init__("kafka", folder)

    def start(self) -> None:
        first, second = free_port_pair(), free_port_pair()
        self.ports = {"SASL_PLAINTEXT": first, "SSL": first + 1, "SASL_SSL": second}
        super().start()

    def _command(self) -> list[str]:
        ports = {"PLAINTEXT": self.port, **self.ports}
        advertised = [f"{name}://127.0.0.1:{port}" for name, port in ports.items()]
        listeners = [*advertised, f"CONTROLLER://127.0.0.1:{self.port + 1}"]
        protocols = [f"{name}:{name}" for name in ports]
        logins = [
            f"listener.name.{name}.{mechanism}.sasl.jaas.config={MODULES}.{module} required{users};"
            for name in ("sasl_plaintext", "sasl_ssl")
            for mechanism, module, users in (
                ("plain", "plain.PlainLoginModule", ' user_bridge="right-secret"'),
                ("scram-sha-256", "scram.ScramLoginModule", ""),
            )
        ]
        return [
            *super()._command(),
            f"listeners={','.join(listeners)}",
            f"advertised.listeners={','.join(advertised)}",
            f"listener.security.protocol.map=CONTROLLER:PLAINTEXT,{','.join(protocols)}",
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={self._store}",
            *logins,
        ]

    def add_user(self, name: str, password: str) -> None:
        """Give a user a SCRAM login."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, "SCRAM-SHA-256", password)]
            )
        finally:
            admin.close()


@pytest.fixture(scope="module")
def authorities() -> Iterator[tuple[Certificates, Certificates]]:
    """The one that signed the broker, and another."""
    with tempfile.TemporaryDirectory(prefix="tls-") as folder:
        yield certificates(Path(folder) / "right"), certificates(Path(folder) / "other")


@pytest.fixture(scope="module")
def guarded(authorities: tuple[Certificates, Certificates]) -> Iterator[GuardedBroker]:
    with tempfile.TemporaryDirectory(prefix="guarded-", ignore_cleanup_errors=True) as folder:
        server = GuardedBroker(Path(folder), authorities[0])
        server.add_user("bridge", "right-secret")
        yield server
        server.kill()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clients, "BOOTSTRAP_MS", 1000)
    yield
    gc.collect()


@pytest.fixture
def ask(guarded: GuardedBroker) -> Callable[..., str]:
    """What ``--check`` says of the broker, asked through the listener of a protocol."""

    def ask(protocol: str, **settings: Any) -> str:
        given = Settings(
            _env_file=None,
            kafka_bootstrap_servers=f"127.0.0.1:{guarded.ports[protocol]}",
            kafka_security_protocol=protocol,
            **settings,
        )
        return probe_broker(given)

    return ask


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_the_right_login_is_let_in(ask, authorities, protocol: str, mechanism: str) -> None:
    authority = {"kafka_ssl_cafile": authorities[0].authority}
    message = ask(protocol, kafka_sasl_mechanism=mechanism, **LOGIN, **authority)
    assert "topic extracted-features" in message


def test_the_right_certificate_is_trusted(ask, authorities) -> None:
    assert "topic" in ask("SSL", kafka_ssl_cafile=authorities[0].authority)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_wrong_password_is_said_and_never_shown(ask, mechanism: str) -> None:
    wrong = {**LOGIN, "kafka_sasl_password": "wrong-secret"}
    # kafka-python may miss the broker's sentence, which comes with the end of the connection
    with pytest.raises((SettingsError, BrokerUnavailable), match="KAFKA_SASL_PASSWORD") as caught:
        ask("SASL_PLAINTEXT", kafka_sasl_mechanism=mechanism, **wrong)
    assert "wrong-secret" not in caught.value.message


def test_a_certificate_of_another_authority_is_refused(ask, authorities) -> None:
    with pytest.raises(BrokerUnavailable, match="certificate verify failed") as caught:
        ask("SSL", kafka_ssl_cafile=authorities[1].authority)
    assert "KAFKA_SSL_CAFILE" in caught.value.message


def test_a_wrong_protocol_is_said(guarded: GuardedBroker) -> None:
    where = f"127.0.0.1:{guarded.ports['SSL']}"
    with pytest.raises(BrokerUnavailable, match="KAFKA_SECURITY_PROTOCOL"):
        probe_broker(Settings(_env_file=None, kafka_bootstrap_servers=where))


def test_check_of_the_bridge_fails_with_the_setting_to_look_at(
    guarded: GuardedBroker,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bridge, "configure_logging", lambda *_: None)
    for name, value in {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{guarded.ports['SASL_PLAINTEXT']}",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "bridge",
        "KAFKA_SASL_PASSWORD": "wrong-secret",
    }.items():
        monkeypatch.setenv(name, value)
    assert bridge.main(["--check"]) == 1
    printed = capsys.readouterr()
    broker = next(line for line in printed.out.splitlines() if line.startswith("broker"))
    assert "FAILED" in broker
    assert "KAFKA_SASL_PASSWORD" in broker
    assert "database  ok" in printed.out
    assert "wrong-secret" not in printed.out + printed.err
