"""Sensors with times of their own, in a table or in files, and their joining by time."""
