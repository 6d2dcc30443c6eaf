"""Print the reports of the training commands."""
