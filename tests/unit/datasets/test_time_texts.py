"""Times as people write them become texts that formats read, the same in Python and Arrow."""

from __future__ import annotations

import pyarrow as pa
import pytest

from datasets.time_texts import tidied, tidy


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("5:00\u202fp.\u00a0m.", "5:00 pm"), ("5:00 a.m.", "5:00 am"),
        ("2026-01-01T00:00:00Z/PT10M", "2026-01-01T00:00:00Z"),
        ("2026-01-01 00:00 - 2026-01-01 00:10", "2026-01-01 00:00"),
        ("01.02.2026 00:00 bis 00:10", "01.02.2026 00:00"),
        ("2026-01-01 00:00 UTC+1", "2026-01-01 00:00+01:00"),
        ("2026-01-01 00:00 GMT-0330", "2026-01-01 00:00-03:30"),
        ("2026-01-01 00:00 UTC+05", "2026-01-01 00:00+05:00"),
        ("2026-01-01 00:00 CEST", "2026-01-01 00:00+02:00"),
        ("2026-01-01 00:00 (MEZ)", "2026-01-01 00:00+01:00"),
        ("02-Mar-26 10:00:00.000 PM CET", "02-Mar-26 10:00:00.000 PM+01:00"),
        ("10 mars 2026 10:00", "10 Mar 2026 10:00"), ("3. Mär. 2026", "3 Mar 2026"),
        ("3. Dez 2026", "3 Dec 2026"), ("2 févr. 2026", "2 Feb 2026"), ("02-mai-26", "02-May-26"),
        ("1. Apr. 2026", "1 Apr 2026"), ("01. April 2026 10:00", "01 Apr 2026 10:00"),
        ("31. März 2026 10:00", "31 Mar 2026 10:00"),
        ("2026-01-01 00:00:00.5 +0000 UTC", "2026-01-01 00:00:00.5 +0000"),
        ("2026-07-01 00:00:00 +0200 CEST", "2026-07-01 00:00:00 +0200"),
        ("10:00 02-01-2024 CET", "10:00 02-01-2024+01:00"),
        ("Sun Mar 10 00:00:00 UTC 2024", "Sun Mar 10 00:00:00 2024 UTC"),
        ("Sun Mar 10 00:00:00 CET 2024", "Sun Mar 10 00:00:00 2024+01:00"),
        ("Sun Mar 10 2024 00:00:00 GMT+0100 (Central European Standard Time)",
         "Sun Mar 10 2024 00:00:00+01:00"),
        # as they are
        ("2026-01-01 00:00 EST", "2026-01-01 00:00 EST"), ("12:30 - 10.03.2026",) * 2,
        ("2026-01-01T00:00:00+00:00",) * 2, ("10/03/2026 10:00",) * 2, ("Mar 10, 2026",) * 2,
    ],
)  # fmt: skip
def test_texts(text: str, plain: str) -> None:
    assert tidy(text) == plain
    assert tidied(pa.array([text, None])).to_pylist() == [plain, None]
