"""Programs that measure speed, size and quality, and print tables."""
