"""Read training data, grade them and cut them."""
