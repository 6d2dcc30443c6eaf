"""Take a request from readings to results."""
