"""Running the whole system."""
