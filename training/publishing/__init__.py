"""Publish bundles: MLflow, the registry, promotion."""
