"""A request from readings to results."""
