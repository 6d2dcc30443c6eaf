"""The operator's page: views on what the REST API knows and does, their templates and files."""
