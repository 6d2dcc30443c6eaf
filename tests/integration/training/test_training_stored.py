"""Stored readings: trained on, without alarms that lasted, and compared for drift."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import Connection, Engine

from config import Settings, load_settings
from datasets import Stream
from db.feedback_actions import give_feedback, withdraw
from db.queries import copy, detections
from db.session import transaction
from errors import DatasetError
from models.bundles.bundle import Bundle
from models.feature_drift import SCORE
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from models.scoring.stream_work import Reading
from schemas import parse_timestamp
from tests.fixtures.training import (
    TINIEST,
    run,
    settings_for,
    small_plant,
    use_bento_home,
)
from training import drift, fit, promote
from training.data.postgres import LASTING, from_database
from training.publishing.comparison import Comparison, compare
from training.request import Request

TOPIC = UUID("00000000-0000-0000-0000-00000000000a")
DATA = small_plant(readings=400)
ALL = load_settings(train_stored_days=0, train_stored_rows=1_000_000)


@pytest.fixture
def settings(
    tmp_path: Path, database_url: str, bento_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    made = Settings(
        _env_file=None, var_dir=tmp_path / "var", mlflow_enabled=False, database_url=database_url
    )
    monkeypatch.setattr("training.cli.common.load_settings", lambda: made)
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """A bundle and the folder of its training's files; never changed."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        use_bento_home(folder / "bento", patch)
        settings = settings_for(folder / "var", mlflow=False)
        outcome = run(Request(DATA, TINIEST, recipe={"data": "small"}), settings)
    return folder, outcome.trained.bundle


@pytest.fixture
def bundle(settings: Settings, tmp_path: Path, trained: tuple[Path, Bundle]) -> Bundle:
    """The champion, whose files lie where the test's settings look for them."""
    folder, made = trained
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return made


def points(stream: Stream, names: list[str], shift: float) -> Iterator[Reading]:
    times = stream.timestamps.astype("datetime64[us]").tolist()
    for time, values in zip(times, (stream.values + shift).tolist(), strict=True):
        yield Reading(time.replace(tzinfo=UTC), dict(zip(names, values, strict=True)))


def store(engine: Engine, bundle: Bundle, shift: float = 0.0) -> list[dict[str, Any]]:
    """Score the plant as the bridge would have it scored, and store it; the results."""
    kept: list[dict[str, Any]] = []
    for stream in DATA.streams:
        ids = (stream.asset_id, stream.sensor_id, None)
        readings = points(stream, DATA.feature_names, shift)
        for part in replay(bundle.model_set("default"), ids, readings, ScoringPolicy()):
            kept += part
    rows = [
        detections.detection_row(result, topic_id=TOPIC, partition=0, offset=offset)
        for offset, result in enumerate(kept)
    ]
    with transaction(engine) as connection:
        copy.insert_detections(connection, rows)
    return kept


def test_alarms_that_lasted_are_not_trained_on(engine: Engine, bundle: Bundle) -> None:
    results = store(engine, bundle)
    anomalies: dict[str, int] = {}
    for result in results:
        event = result["metadata"].get("event")
        if event is not None:
            anomalies[event["id"]] = anomalies.get(event["id"], 0) + result["is_anomaly"]
    lasting = {event for event, n in anomalies.items() if n >= LASTING}
    assert lasting, "the plant's faults alarm"
    expected = sum(
        (result["metadata"].get("event") or {}).get("id") not in lasting for result in results
    )
    data = from_database(engine, ALL)
    assert data.rows == expected < len(results)
    assert f"{len(results) - expected:,} of alarms with 5 or more anomalies left out" in data.source
    assert from_database(engine, ALL, keep_events=True).rows == len(results)


def test_one_anomaly_more_or_less_decides(engine: Engine) -> None:
    def row(offset: int, event: str, **metadata: Any) -> Any:
        result = {
            "asset_id": "A", "sensor_id": "S", "timestamp": f"2026-01-01T00:{offset:02}:00+00:00",
            "scores": [], "final_score": 0.9, "is_anomaly": True, "criticality": "critical",
            "features": {"rms": float(offset)}, "metadata": {"event": {"id": event, **metadata}},
        }  # fmt: skip
        return detections.detection_row(result, topic_id=TOPIC, partition=0, offset=offset)

    long = [row(i, "long") for i in range(LASTING)]
    short = [row(20 + i, "short") for i in range(LASTING - 1)]
    broken = [row(40, "broken", kind="sensor_fault")]
    with transaction(engine) as connection:
        copy.insert_detections(connection, [*long, *broken])
    with pytest.raises(DatasetError, match=r"all 6 readings .* --keep-events"):
        from_database(engine, ALL)
    with transaction(engine) as connection:
        copy.insert_detections(connection, short)
    assert from_database(engine, ALL).streams[0].values[:, 0].tolist() == [
        20.0,
        21.0,
        22.0,
        23.0,
    ]


def test_what_is_stored_for_years_is_not_all_read(engine: Engine) -> None:
    first = datetime(2024, 1, 1, tzinfo=UTC)

    def row(day: int) -> Any:
        result = {
            "asset_id": "A", "sensor_id": "S", "timestamp": first + timedelta(days=day),
            "scores": [], "final_score": 0.1, "is_anomaly": False, "criticality": "low",
            "features": {"rms": float(day)}, "metadata": {},
        }  # fmt: skip
        return detections.detection_row(result, topic_id=TOPIC, partition=0, offset=day)

    with transaction(engine) as connection:
        copy.insert_detections(connection, [row(day) for day in range(400)])

    def read(days: int, rows: int, *span: datetime | None) -> tuple[list[float], str]:
        bounds = {"train_stored_days": days, "train_stored_rows": rows}
        data = from_database(engine, ALL.model_copy(update=bounds), *span)
        return data.streams[0].values[:, 0].tolist(), data.source

    values, source = read(90, 1000)
    assert values == list(range(310, 400))
    assert source.endswith("of the last 90 days (TRAIN_STORED_DAYS, --since)")
    values, source = read(90, 20)
    assert values == list(range(380, 400))
    assert source.endswith("the newest 20 of them (TRAIN_STORED_ROWS)")
    assert read(90, 1000, first)[0] == list(range(400))
    assert read(10, 1000, None, first + timedelta(days=50))[0] == list(range(40, 50))
    assert len(read(0, 1000)[0]) == 400


def test_readings_of_the_first_days_of_the_calendar_can_be_read(engine: Engine) -> None:
    # .NET's default time: 90 days before it there is no calendar
    result = {
        "asset_id": "A", "sensor_id": "S", "timestamp": "0001-01-02T00:00:00+00:00",
        "scores": [], "final_score": 0.1, "is_anomaly": False, "criticality": "low",
        "features": {"rms": 1.0}, "metadata": {},
    }  # fmt: skip
    row = detections.detection_row(result, topic_id=TOPIC, partition=0, offset=0)
    with transaction(engine) as connection:
        copy.insert_detections(connection, [row])
    assert from_database(engine, ALL.model_copy(update={"train_stored_days": 90})).rows == 1


def test_training_on_stored_readings_says_what_it_left_out(
    engine: Engine, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    store(engine, bundle)
    sizes = ["--models", "isolation_forest", "--trees", "10", "--folds", "2", "--no-native"]
    assert fit.main(["--data", "postgresql", *sizes]) == 0
    assert "or more anomalies left out" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_features_and_scores_of_stored_readings_are_compared(
    engine: Engine, bundle: Bundle, capsys: pytest.CaptureFixture[str], shift: float
) -> None:
    store(engine, bundle, shift)
    capsys.readouterr()
    assert drift.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)["groups"]["default"]
    names = {"final_score", "isolation_forest", "one_class_svm"}
    assert set(found) == set(DATA.feature_names) | {SCORE + name for name in names}
    assert all(about["n"] == 800 for about in found.values())
    far = shift > 0
    assert (found["kurtosis"]["psi"] > 3) is far
    assert (found[SCORE + "final_score"]["psi"] > 3) is far
    assert found["kurtosis"]["state"] == ("shifted" if far else "stable")


def add_verdict(connection: Connection, asset: str, start: str, end: str, verdict: str) -> UUID:
    values = {
        "asset_id": asset, "sensor_id": None, "feature": None, "verdict": verdict, "note": None,
        "fault_code": None, "created_by": "ANNA", "client_token": None,
        "starts_at": parse_timestamp(start), "ends_at": parse_timestamp(end),
    }  # fmt: skip
    row, _ = give_feedback(connection, values)
    found: UUID = row["id"]
    return found


def test_feedback_decides_what_is_trained_on_and_withdrawn_leaves_no_trace(
    engine: Engine, bundle: Bundle
) -> None:
    results = store(engine, bundle)
    before = from_database(engine, ALL)
    alarms = [one for one in results if one["is_anomaly"] and one["metadata"].get("event")]
    asset = alarms[0]["asset_id"]
    mine = [one for one in results if one["asset_id"] == asset]
    first, last = mine[0]["timestamp"], mine[-1]["timestamp"]
    rows = {"A": sum(len(s.timestamps) for s in before.streams if s.asset_id == asset)}
    assert rows["A"] < len(mine)
    for verdict, kept, faults in (
        ("false_alarm", len(mine), 0), ("confirmed", len(mine), len(mine)), ("expected", 0, 0),
        ("unsure", rows["A"], 0),
    ):  # fmt: skip
        with transaction(engine) as connection:
            one = add_verdict(connection, asset, first, last, verdict)
        data = from_database(engine, ALL)
        streams = [s for s in data.streams if s.asset_id == asset]
        assert sum(len(s.timestamps) for s in streams) == kept
        assert sum(int((s.labels == 1).sum()) for s in streams if s.labels is not None) == faults
        assert (f"{len(mine):,} of" in data.source) is (verdict != "unsure")
        others = [s.timestamps.tolist() for s in data.streams if s.asset_id != asset]
        assert others == [s.timestamps.tolist() for s in before.streams if s.asset_id != asset]
        with transaction(engine) as connection:
            withdraw(connection, one, "ANNA", None)
        after = from_database(engine, ALL)
        assert after.fingerprint() == before.fingerprint()
        assert (after.source, after.judged) == (before.source, False)
        assert all(s.labels is None for s in after.streams)


def test_promotion_tells_who_finds_the_confirmed_faults_that_neither_was_fitted_on(
    engine: Engine, bundle: Bundle
) -> None:
    results = store(engine, bundle)
    alarm = next(one for one in results if one["is_anomaly"] and one["metadata"].get("event"))
    at = parse_timestamp(alarm["timestamp"])
    start, end = ((at + timedelta(minutes=k)).isoformat() for k in (-5, 5))
    with transaction(engine) as connection:
        add_verdict(connection, alarm["asset_id"], start, end, "confirmed")
    data = from_database(engine, ALL, keep_events=True)

    def compared(skip: list[int]) -> Comparison:
        return compare(bundle, bundle, data, skip, ScoringPolicy())

    found = compared([0 for _ in data.streams])
    assert found.champion.events == found.challenger.events == (1, 1)
    assert found.reason.endswith("of 1 confirmed faults it finds 1, the champion 1")
    # all that is compared is newer than the fault
    after = [int(np.searchsorted(s.timestamps, np.datetime64(end[:19]))) + 1
             for s in data.streams]  # fmt: skip
    later = compared(after)
    assert later.champion.events == (0, 0)
    assert later.reason.endswith("no confirmed fault is newer than all that both were fitted on")


def test_a_fit_leaves_confirmed_faults_out_and_judges_by_them(
    engine: Engine, bundle: Bundle, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    results = store(engine, bundle)
    alarms = [one for one in results if one["is_anomaly"] and one["metadata"].get("event")]
    with transaction(engine) as connection:
        for one in alarms[:1] + alarms[-1:]:
            at = parse_timestamp(one["timestamp"])
            start, end = ((at + timedelta(minutes=k)).isoformat() for k in (-5, 5))
            add_verdict(connection, one["asset_id"], start, end, "confirmed")
    options = ["--models", "isolation_forest", "--quick", "--no-native", "--promote", "auto"]
    assert fit.main(["--data", "postgresql", *options]) == 0
    printed = capsys.readouterr()
    assert "of confirmed faults left out as labelled" in " ".join(printed.err.split())
    assert "are labelled faulty and were left out" in " ".join(printed.out.split())


def test_schedules_of_a_file_are_left_out_of_a_fit_and_of_its_promotion(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans, data = tmp_path / "plans.toml", tmp_path / "plant.csv"
    times = DATA.streams[0].timestamps
    plans.write_text(f"[[maintenance_windows]]\nstart={times[50]}Z\nend={times[80]}Z\n")
    with data.open("w") as file:
        file.write(",".join(["asset_id", "timestamp", *DATA.feature_names]) + "\n")
        for stream in DATA.streams:
            for at, row in zip(stream.timestamps, stream.values.tolist(), strict=True):
                file.write(",".join([stream.asset_id, f"{at}Z", *map(str, row)]) + "\n")
    options = ["--models", "isolation_forest", "--quick", "--no-native", "--promote", "false"]
    for _ in range(2):
        assert fit.main(["--data", str(data), "--schedules", str(plans), *options]) == 0
        gone = 30 * len(DATA.streams)
        assert f"{gone} readings of maintenance" in " ".join(capsys.readouterr().out.split())
    assert promote.main([]) == promote.EXIT_NOT_PROMOTED  # nothing newer; the plans are read
    plans.unlink()
    assert promote.main([]) == 1
    assert "plans.toml: No such file" in capsys.readouterr().err
