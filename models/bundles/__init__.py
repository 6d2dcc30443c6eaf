"""Keep bundles of model sets on disk."""
