"""Inside the service: routes, runners, scoring, jobs, keys."""
