"""Every query of the project, one file per subject."""
