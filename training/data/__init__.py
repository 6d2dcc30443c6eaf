"""Where training data come from and how they are cut."""
