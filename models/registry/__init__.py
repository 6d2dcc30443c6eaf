"""Where bundles are registered: MLflow, plain files, the Bento store."""
