"""What a stream carries: exact when read back, small, and of use under another bundle."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from errors import InputError
from models.scoring.magnitudes.adaptation import AdaptationParams
from models.scoring.stream_state import StreamState
from tests.unit.ensemble_scoring import one


def read(model_set, data, version: str | None = None) -> StreamState:
    pre = model_set.preprocessing
    return StreamState.from_dict(data, version or model_set.version, pre, model_set.new_tail())


def test_what_is_stored_is_read_back_exactly_and_small(model_set, readings):
    stored = json.loads(json.dumps(one(model_set, readings[:720]).state))
    state = read(model_set, stored)
    assert state.to_dict(model_set.version, model_set.preprocessing) == stored
    assert len(json.dumps(stored)) < 4096


def test_nothing_stored_is_a_new_stream(model_set):
    state = read(model_set, None)
    assert (state.settled, state.seen, state.events) == (False, 0, {})
    assert state.clock.last is None


def test_another_bundle_keeps_the_time_and_begins_the_tail_again(model_set, readings):
    stored = one(model_set, readings[:720]).state
    other = read(model_set, stored, "another")
    assert other.clock.last == readings[719].timestamp
    fresh = read(model_set, None)
    assert other.tail.to_list() == fresh.tail.to_list()
    assert other.tail.to_list() != read(model_set, stored).tail.to_list()


def test_a_key_that_is_not_known_is_passed_over(model_set, readings):
    stored = one(model_set, readings[:50]).state
    state = read(model_set, {**stored, "of_a_later_release": [1, 2]})
    assert state.to_dict(model_set.version, model_set.preprocessing) == stored


@pytest.mark.parametrize(
    "wrong",
    [{"last": "yesterday"}, {"tail": "x"}, {"events": [1]}, {"reset": [True, False]}, {"clock": 7}],
)
def test_what_no_service_gave_out_is_refused(model_set, readings, wrong):
    stored = one(model_set, readings[:50]).state
    with pytest.raises(InputError) as caught:
        read(model_set, {**stored, **wrong})
    assert (caught.value.code, caught.value.field) == ("bad_state", "state")


def test_a_reset_forgets_all_but_the_time(model_set, readings):
    state = read(model_set, one(model_set, readings[:720]).state)
    last = state.clock.last
    state.restart(7, model_set.new_tail())
    assert (state.reset, state.window_ends, state.count, state.seen) == (7, True, 0, 0)
    assert state.clock.last == last
    assert not state.events


def test_a_new_stream_a_reset_and_another_bundle_begin_with_the_tail_that_was_fitted(
    model_set, readings
):
    how = replace(model_set.adaptation, first_stretch=1.5)
    fitted = replace(model_set, adaptation=AdaptationParams.from_dict(how.to_dict()))
    stored = one(fitted, readings[:720]).state
    begun = [read(fitted, None), read(fitted, stored), read(fitted, stored, "another")]
    begun[1].restart(7, fitted.new_tail())
    for state in begun:
        assert state.tail.numbers["log_stretch"] == math.log(1.5)
    assert read(fitted, stored).tail.numbers["log_stretch"] != math.log(1.5)
