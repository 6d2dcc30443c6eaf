"""The bridge's metrics."""

from __future__ import annotations

from prometheus_client import generate_latest

from consumers.metrics import Metrics


def test_metrics_have_one_state_at_a_time():
    metrics = Metrics()
    metrics.set_state("paused", "no_model")
    metrics.set_state("running", "")
    text = generate_latest(metrics.registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("bridge_state{")]
    assert lines == ['bridge_state{state="running",why=""} 1.0']


def test_first_dead_letter_of_a_reason_is_an_increase_and_not_a_new_series():
    text = generate_latest(Metrics().registry).decode()
    for reason in ("not_json", "missing_features", "unprocessable"):
        assert f'bridge_dead_letters_total{{reason="{reason}"}} 0.0' in text
