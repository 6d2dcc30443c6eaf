"""Notify people and systems of incidents: routes, receivers, and the process that sends."""
