"""Text files: CSV and its relatives, and the exports of loggers and databases as text."""
