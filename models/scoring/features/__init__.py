"""Preprocessing: the parts that turn a reading's values into comparable features."""
