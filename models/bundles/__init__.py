"""Bundles of model sets on disk."""
