"""Fitting, evaluating and promoting bundles."""
