"""Run the whole system."""
