"""The bytes of a record -> a reading or a rejection. Pure."""
