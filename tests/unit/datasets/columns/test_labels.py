"""Labels of all kinds: faulty, normal or unknown, and none keeps a file from being read."""

from __future__ import annotations

import pytest

from datasets.columns.labels import (
    UNKNOWN,
    are_conditions,
    are_labels,
    is_label,
    may_be_label,
    read_labels,
)


@pytest.mark.parametrize(
    ("counts", "meaning"),
    [
        ({"0": 9, "1": 1}, {"0": 0, "1": 1}),
        ({"0.0": 9, "1.0": 1}, {"0.0": 0, "1.0": 1}),
        ({"-1": 2, "1": 8}, {"-1": 1, "1": 0}),  # the rarer is the fault
        ({"-1": 8, "1": 2}, {"-1": 0, "1": 1}),
        ({"0": 5, "1": 2, "3": 1}, {"0": 0, "1": 1, "3": 1}),  # graded
        ({"-1": 3, "0": 5, "1": 2}, {"-1": UNKNOWN, "0": 0, "1": 1}),
        ({"0": 5, "1": 2, "-9": 1}, {"0": 0, "1": 1, "-9": UNKNOWN}),
        ({"0": 5, "-9": 1}, {"0": 0, "-9": UNKNOWN}),
        ({"-1": 4}, {"-1": UNKNOWN}),
        ({"-999": 9, "1": 2}, {"-999": UNKNOWN, "1": 1}),  # a code beside faults alone
        ({"-999": 9, "1": 2, "2": 1}, {"-999": UNKNOWN, "1": UNKNOWN, "2": UNKNOWN}),
        ({"normal": 5, "2": 1}, {"normal": 0, "2": UNKNOWN}),
        ({"1": 9, "2": 1}, {"1": UNKNOWN, "2": UNKNOWN}),  # which of them is normal?
        ({"0.1": 9, "0.7": 1}, {"0.1": UNKNOWN, "0.7": UNKNOWN}),
        ({"Normal": 9, "Bearing": 1}, {"Normal": 0, "Bearing": 1}),
        ({"true": 1, "false": 9}, {"true": 1, "false": 0}),
        ({"Ein": 8, "Aus": 4, "Störung": 1}, {"Ein": 0, "Aus": 0, "Störung": 1}),
        ({"neg": 8, "pos": 4}, {"neg": 0, "pos": 1}),
        ({"on": 8, "off": 4, "Error": 1}, {"on": 0, "off": 0, "Error": 1}),
        ({"on": 8, "off": 4}, {"on": UNKNOWN, "off": UNKNOWN}),  # which of them is normal?
        ({"pump": 4, "valve": 5}, {"pump": UNKNOWN, "valve": UNKNOWN}),  # no word means normal
        ({"0": 5, "broken": 1, "": 2}, {"0": 0, "broken": 1, "": UNKNOWN}),
    ],
)
def test_what_a_label_means(counts, meaning):
    assert read_labels(counts, "label")[0] == meaning


@pytest.mark.parametrize(
    ("names", "cells", "sure", "perhaps"),
    [
        ("anomaly isanomaly anomalylabel outlier", ["0", "1"], True, True),
        ("anomaly anomalous", ["1", "-1"], True, True),
        ("anomaly", ["0", "1", "2"], True, True),
        ("anomaly hasanomaly", ["yes", "no"], True, True),
        ("anomaly normalattack", ["Normal", "Attack"], True, True),
        ("isfault isfaulty machinefailure groundtruth faultlabel", ["0.0", "1.0"], True, True),
        ("anomaly", [], True, False),
        ("anomaly outlier", ["0.5", "0.75"], False, True),  # a score
        ("faultdetectiongroundtruth groundtruth", ["0", "1"], True, True),
        ("levelgroundtruth undergroundtruth", ["3", "4"], False, True),  # a reference
        ("attack attflag attackflag attacktype", ["0", "1", "-999"], True, True),
        ("fault failure target class faultcode att event", ["0", "1"], False, True),
        ("attackp1 attackangle", ["0", "1"], False, True),
        ("attackangle angleofattack", ["0.5", "1.25"], False, False),
        ("fail passfail faultnumber failurewithin7days", ["0", "1"], False, True),
        ("failsafe passflow faultlevel failing", ["0", "1"], False, False),
        ("fault", ["none", "bearing"], False, True),
        ("fault target error", ["0.5", "1.25"], False, False),
        ("target", [str(i) for i in range(30)], False, False),
        ("isolation flow faultcurrent anomalyscore", ["0", "1"], False, False),
    ],
)
def test_which_names_mean_a_label(names, cells, sure, perhaps):
    for name in names.split():
        assert (is_label(name, cells), may_be_label(name, cells)) == (sure, perhaps), name


@pytest.mark.parametrize(
    ("cells", "conditions"),
    [
        (["NORMAL", "BROKEN", "RECOVERING"], True), (["Healthy", "Degraded", "Idle"], True),
        (["Betrieb", "Störung"], True), (["Ein", "Aus", "Fehler"], True), (["Ein", "Aus"], False),
        (["BROKEN"], True), (["NORMAL"], False), (["Bad"], False),
        (["NORMAL", "SPORT"], False), (["Alarm", "Pump"], False), ([], False),
        (["normal", "fault", *map(str, range(30))], False),
    ],
)  # fmt: skip
def test_which_texts_are_conditions_of_a_machine(cells, conditions):
    assert are_conditions(cells) == conditions


@pytest.mark.parametrize(("faults", "told"), [(1, True), (80, True), (90, False), (100, False)])
def test_texts_that_nearly_always_tell_a_fault_are_no_label(faults, told):
    cells = ["Degraded"] * faults + ["Normal"] * (100 - faults)
    assert are_labels(cells) == told


def test_what_was_decided_is_said():
    assert read_labels({"0": 9, "1": 1}, "label")[1] == []
    (note,) = read_labels({"-1": 2, "1": 8}, "state")[1]
    assert note == "state: of -1 and 1, the rarer one is the fault: -1 (2 readings)"
    assert "2 readings have no label" in read_labels({"0": 5, "": 2}, "label")[1][0]
    assert read_labels({"1": 2, "no": 5, "0": 3}, "label")[1] == [
        "label: '1' taken as faults, '0', 'no' as normal"
    ]
    assert "most readings are labelled as faults" in read_labels({"0": 2, "1": 3}, "label")[1][-1]
    assert read_labels({"0": 5, "1": 2, "-9": 1}, "label")[1][0] == (
        "label: graded labels: 0 is normal, 1 are faults, -9 unknown"
    )
