"""Find the times of readings, and read them."""
