"""Implement the operator's page: views on the parts of the REST API, templates, static files."""
