"""Hold every SQL query of the project, one file per subject."""
