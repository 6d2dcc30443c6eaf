"""Which assets the fleet lists, from real rows."""

from __future__ import annotations

from sqlalchemy import Connection, text

from db.queries.fleet import fleet_assets, stream_positions

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


def test_only_streams_that_were_stored_lately_are_asked_for_again(connection: Connection) -> None:
    assert stream_positions(connection, None) == (None, [])
    connection.execute(_STREAMS, {"many": 3})
    now, all_streams = stream_positions(connection, None)
    assert len(all_streams) == 3
    connection.execute(
        text("""
        UPDATE stream_states SET updated_at = now() - interval '1 hour'
        WHERE asset_id > 'PUMP_00001'
    """)
    )
    _, lately = stream_positions(connection, now)
    assert [at for _, at in lately] == [now]
    assert {stream for stream, _ in lately} < {stream for stream, _ in all_streams}
