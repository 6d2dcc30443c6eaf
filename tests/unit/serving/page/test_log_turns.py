"""What the system repeats in an incident's log is folded; what people wrote is not."""

from __future__ import annotations

from serving.page.log_turns import folded


def entries(*whats: str, who: str = "system") -> list[dict[str, str | None]]:
    return [{"who": who, "what": what, "why": None} for what in whats]


def shape(*parts: list[dict[str, str | None]]) -> list[int]:
    return [len(group) for group in folded([entry for part in parts for entry in part])]


def test_thirty_nights_are_one_pair_and_the_rest_of_them() -> None:
    nights = entries("cleared", "resumed") * 30
    assert shape(entries("opened"), nights, entries("cleared")) == [1, 1, 1, 58, 1]


def test_a_person_in_between_is_shown_and_a_few_turns_are_not_folded() -> None:
    nights = entries("cleared", "resumed")
    said = entries("acknowledged", who="ANNA")
    assert shape(nights * 2) == [1] * 4
    assert shape(nights * 3, said, nights * 4) == [1, 1, 4, 1, 1, 1, 6]
    assert shape(entries("commented", who="ANNA") * 8) == [1] * 8
    assert shape([]) == []


def test_nothing_is_left_out_or_reordered() -> None:
    log = [*entries("opened"), *entries("joined", "cleared") * 5, *entries("escalated")]
    assert [entry for group in folded(log) for entry in group] == log
