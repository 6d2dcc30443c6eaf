"""Share the command-line parts of the training commands."""
