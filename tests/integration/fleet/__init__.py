"""Tests of the fleet commands on Spark."""
