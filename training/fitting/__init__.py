"""Many model sets fitted in parallel, and put together as one bundle."""
