"""Build the container image: pinned packages, Dockerfile template, health check."""
