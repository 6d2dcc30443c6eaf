"""Register bundles: in MLflow, in plain files, in the Bento store."""
