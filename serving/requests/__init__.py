"""What callers send -> checked requests."""
