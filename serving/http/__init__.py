"""HTTP: routes, keys, handlers, the OpenAPI document."""
