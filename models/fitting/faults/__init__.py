"""Unlabelled faults in training, which are left out, and sensors that were moved."""
