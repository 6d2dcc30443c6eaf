"""Share what the training commands have in common."""
