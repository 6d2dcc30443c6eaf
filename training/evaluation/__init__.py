"""Evaluate and plot scored data."""
