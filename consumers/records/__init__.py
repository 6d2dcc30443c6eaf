"""Convert the bytes of a record to a reading or a rejection. Pure functions."""
