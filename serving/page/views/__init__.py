"""Views, one file per screen: parse the request, query, fill a template."""
