"""Use kafka-python, including the few private parts of it that are needed."""
