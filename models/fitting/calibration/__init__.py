"""Out-of-fold magnitudes, and the calibration that is fitted on them."""
