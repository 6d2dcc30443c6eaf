"""Settings: defaults, `.env`, precedence, bad values."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import Settings, load_settings
from deploy import document_settings
from errors import SettingsError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert settings.service_port == 8084
    assert settings.kafka_topic_input_features == "extracted-features"
    assert settings.kafka_topic_output_anomalies == "anomalies-detected"
    assert settings.kafka_topic_dead_letter == "extracted-features-dead-letter"
    assert settings.kafka_publish == "anomalies"
    assert settings.mlflow_experiment_name == "anomaly-detection"
    assert settings.database_name == "predictive_maintenance"
    assert settings.mlflow_uri().startswith("sqlite:////")
    assert settings.budgets() == pytest.approx(
        {"critical": 1e-2, "high": 10**-2.5, "medium": 1e-3, "low": 1e-4}
    )


def test_dotenv_is_read_and_the_environment_beats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("SERVICE_PORT=9001\nKAFKA_PUBLISH=events\nUNKNOWN_SETTING=1\n")
    monkeypatch.setenv("SERVICE_PORT", "9002")
    settings = load_settings()
    assert settings.service_port == 9002
    assert settings.kafka_publish == "events"


@pytest.mark.parametrize("url", ["", "mysql://u:hidden@h/d", "sqlite:///f.db", "u:hidden@h"])
def test_commands_that_need_no_database_start_whatever_its_address_is(url: str) -> None:
    loaded = load_settings(database_url=url).database_url
    assert loaded is not None
    assert loaded.get_secret_value() == url


def test_a_misspelt_setting_is_named_with_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Path(".env").write_text("export SERVICE_PROT=9001\n# SERVICE_PRT=1\nSLACK_URL=x\n")
    monkeypatch.setenv("KAFKA_BOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")  # MLflow's own
    assert load_settings().service_port == 8084
    load_settings()
    assert [record.getMessage() for record in caplog.records] == [
        "KAFKA_BOTSTRAP_SERVERS is not a setting and has no effect:"
        " is KAFKA_BOOTSTRAP_SERVERS meant?",
        "SERVICE_PROT is not a setting and has no effect: is SERVICE_PORT meant?",
    ]


def test_arguments_beat_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_PORT", "9002")
    assert load_settings(service_port=9003).service_port == 9003


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICE_PORT", "eighty"),
        ("SERVICE_PORT", "70000"),
        ("KAFKA_PUBLISH", "some"),
        ("KAFKA_AUTO_OFFSET_RESET", "middle"),
        ("JOURNAL_REST", "perhaps"),
        ("BUDGET_MEDIUM", "0"),
        ("FLEET_ASSETS", "many"),
        ("FLEET_ASSETS", "severe=3"),
        ("FLEET_ASSETS", "low=1,low=2"),
        ("INCIDENT_FLEET_BUDGET", "0"),
        ("BUDGET_MEDIUM", "1.5"),
        ("RETENTION_DAYS", "999999"),  # before the first year
        ("EVENT_SILENCE_S", "1e300"),
        ("REOPEN_GAP_S", "inf"),
        ("REFUSAL_RETRY_S", "1e11"),
        ("DATABASE_STATEMENT_TIMEOUT_S", "3000000"),  # milliseconds beyond 32 bits
        ("KAFKA_SESSION_TIMEOUT_MS", "3000000000"),
        ("LOG_LEVEL", "LOUD"),
        ("MLFLOW_ENABLED", "kind of"),
        ("KAFKA_BOOTSTRAP_SERVERS", ""),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092;other:9092"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:90920"),
        ("KAFKA_CONSUMER_GROUP", ""),
        ("KAFKA_TOPIC_INPUT_FEATURES", ""),
        ("KAFKA_TOPIC_DEAD_LETTER", ""),
        ("KAFKA_TOPIC_OUTPUT_ANOMALIES", "one,two"),
        ("KAFKA_TOPIC_INCIDENTS", ".."),
        ("KAFKA_TOPIC_DEAD_LETTER", "extracted-features"),
        ("SERVICE_HOST", '"0.0.0.0"'),
        ("KAFKA_HEARTBEAT_INTERVAL_MS", "45000"),  # a whole session
        ("ALLOWED_HOSTS", "https://anomalies.plant.example"),
        ("ALLOWED_HOSTS", "plant.example,anomalies.plant.example:8084"),
        ("ALLOWED_HOSTS", "*.plant.example"),
    ],
)
def test_bad_value_is_an_error_that_names_setting_and_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings()
    assert value in str(caught.value)


@pytest.mark.parametrize("brokers", ["kafka", "a:1, b:2,", "[::1]:9092", "::1", "SSL://k.x:9093"])
def test_brokers_that_the_client_can_read_are_accepted(
    monkeypatch: pytest.MonkeyPatch, brokers: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", brokers)
    assert load_settings().kafka_bootstrap_servers == brokers


@pytest.mark.parametrize("hosts", ["", "a.plant.example, b-2,", "10.0.0.7", "::1", "fe80::1"])
def test_names_and_addresses_of_the_service_are_accepted(
    monkeypatch: pytest.MonkeyPatch, hosts: str
) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", hosts)
    assert load_settings().allowed_hosts == hosts


def test_blanks_around_a_value_do_not_count_except_in_a_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("KAFKA_TOPIC_INPUT_FEATURES", "SERVICE_API_KEY", "DATABASE_PASSWORD", "VAR_DIR"):
        monkeypatch.setenv(name, " of-a-file\n")
    monkeypatch.setenv("ADAPTATION", " TRUE ")
    settings = load_settings()
    assert settings.kafka_topic_input_features == "of-a-file"
    assert settings.service_api_key is not None
    assert settings.service_api_key.get_secret_value() == "of-a-file"
    assert settings.database_password is not None
    assert settings.database_password.get_secret_value() == " of-a-file\n"
    assert settings.var_dir == Path("of-a-file")
    assert settings.adaptation is True


def test_quotes_around_a_secret_are_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "'postgresql://u:hidden@h/d'")
    with pytest.raises(SettingsError, match="DATABASE_URL: must not be in quotes") as caught:
        load_settings()
    assert "hidden" not in str(caught.value)


def test_all_durations_have_an_upper_bound() -> None:
    unbounded = [
        name
        for name, field in Settings.model_fields.items()
        if name.endswith(("_s", "_ms", "_seconds", "_days"))
        and not any(getattr(one, "le", None) is not None for one in field.metadata)
    ]
    assert not unbounded


def test_an_address_of_the_service_says_how_it_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_URL", "localhost:8084")
    with pytest.raises(SettingsError, match="SERVICE_URL: must be an address like http"):
        load_settings()


@pytest.mark.parametrize("address", ["127.0.0.1:5000", "mlflow:5000/", "anna:hidden@mlflow:5000"])
def test_an_address_of_mlflow_says_how_it_is_reached(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI: must be an address") as caught:
        load_settings()
    assert "hidden" not in str(caught.value)
    for other in ("http://u:p@mlflow:5000", "sqlite:////srv/m.db", "databricks", "", "/srv/runs"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
        assert load_settings().mlflow_tracking_uri == other


def test_the_scheme_of_an_address_may_be_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_URL", "HTTPS://Plant.example/x")
    assert load_settings().service_url == "https://Plant.example/x"


def test_an_address_of_the_service_may_end_with_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_URL", "http://service:8084/")  # paths are appended to it
    assert load_settings().service_url == "http://service:8084"


def test_database_host_without_user_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_HOST", "db.plant")
    with pytest.raises(SettingsError, match="DATABASE_USER"):
        load_settings()


@pytest.mark.parametrize("name", ["/Shared/x", "it's", "a:b", " ", "", "x" * 251, "a\nb"])
def test_an_experiment_that_can_name_no_model_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    with pytest.raises(SettingsError, match="MLFLOW_EXPERIMENT_NAME") as caught:
        load_settings()
    assert repr(name.strip()[:250]) in caught.value.message
    monkeypatch.setenv("MLFLOW_ENABLED", "false")
    load_settings()  # then it names nothing


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    monkeypatch.setenv("SERVICE_API_KEY", "hunter3")
    assert "hunter" not in repr(load_settings())


def test_page_and_example_of_settings_are_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == document_settings.page()
    assert (ROOT / ".env.example").read_text() == document_settings.example()
    assert all(f"`{name.upper()}`" in document_settings.page() for name in Settings.model_fields)


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"


def test_a_fleet_budget_is_shared_out_in_proportion_and_only_makes_budgets_smaller() -> None:
    own = load_settings().incident_budgets()
    fleet = {"fleet_assets": "critical=10, medium=200,low=160", "operator_positions": 2}
    shared = load_settings(incident_fleet_budget=2.0, **fleet).incident_budgets()
    # the assets' own come to 280 a month, the fleet's to 2 x 2 x 30
    assert shared == pytest.approx({name: budget * 120 / 280 for name, budget in own.items()})
    assert load_settings(incident_fleet_budget=150.0, **fleet).incident_budgets() == own
    with pytest.raises(SettingsError, match="FLEET_ASSETS must give the number"):
        load_settings(incident_fleet_budget=150.0)
