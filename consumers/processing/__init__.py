"""The worker threads: batches through score and commit."""
