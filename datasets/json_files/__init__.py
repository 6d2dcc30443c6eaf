"""JSON in its forms, and InfluxDB's line protocol, which is read like it."""
