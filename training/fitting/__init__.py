"""Fit many model sets in parallel, and put them together as one bundle."""
