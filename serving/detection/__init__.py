"""Process a request from readings to results."""
