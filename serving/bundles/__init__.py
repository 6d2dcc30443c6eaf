"""Load the champion in every worker and follow its changes."""
