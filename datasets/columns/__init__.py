"""What the columns of a table are: times, ids, labels, features, and what is none of these."""
