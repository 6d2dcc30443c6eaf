"""Print what the training commands report."""
