"""Measure and plot scored data."""
