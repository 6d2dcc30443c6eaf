"""Measures and plots of scored data."""
