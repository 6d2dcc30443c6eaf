"""Values in training that no sensor measured."""
