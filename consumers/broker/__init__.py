"""kafka-python, and the few private parts of it that are used."""
