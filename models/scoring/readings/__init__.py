"""One stream's readings: their order and gaps, rows and windows."""
