"""MLflow, the registry, promotion."""
