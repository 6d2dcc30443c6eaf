"""Detect anomalies: detectors, calibration, thresholds, the ensemble, and bundles of them."""
