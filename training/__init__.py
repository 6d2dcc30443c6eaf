"""Fit, evaluate and promote bundles."""
