"""Tests of the fleet commands without Spark."""
