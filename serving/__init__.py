"""Implement the service: routes, runners, scoring, training jobs, access keys."""
