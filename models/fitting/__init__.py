"""Fit a model set: scales, detectors, calibration out of fold."""
