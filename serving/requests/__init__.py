"""Check what callers send."""
