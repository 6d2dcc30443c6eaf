#!/bin/sh
# Run by the PostgreSQL image when its volume is empty: MLflow keeps its tables apart from ours.
set -eu
createdb --username "$POSTGRES_USER" --owner "$POSTGRES_USER" mlflow
