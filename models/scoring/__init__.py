"""Score: the pure function from state, window and readings to results and state."""
