"""Unit tests of serving/http."""
