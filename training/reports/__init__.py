"""What the training commands print."""
