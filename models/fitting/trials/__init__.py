"""What the data decide: ways of scoring, tried on readings that they were not fitted on."""
