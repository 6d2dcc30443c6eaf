"""Which assets the fleet lists, from real rows."""

from __future__ import annotations

from sqlalchemy import Connection, text

from db.queries.fleet import fleet_assets

_STREAMS = text("""
    INSERT INTO stream_states (topic_id, partition, asset_id, state, last_timestamp)
    SELECT '00000000-0000-0000-0000-000000000001', 0, 'PUMP_' || lpad(n::text, 5, '0'), '{}', now()
    FROM generate_series(1, :many) n
""")


def test_an_asset_that_fell_silent_is_listed_in_a_plant_of_ten_thousand(
    connection: Connection,
) -> None:
    connection.execute(_STREAMS, {"many": 10_000})
    assert fleet_assets(connection)[-1]["asset_id"] == "PUMP_10000"
