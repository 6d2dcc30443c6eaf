"""The poll thread: fetches, claims partitions, watches over the consumer."""
