"""Which bundle is in force, and how workers follow it."""
