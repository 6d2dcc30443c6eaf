"""One file per screen: read the request, ask what the REST API asks, fill a template."""
