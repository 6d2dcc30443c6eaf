"""From alarms to events, settled levels and incidents."""
