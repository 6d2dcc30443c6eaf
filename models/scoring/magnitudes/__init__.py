"""From the detectors' raw magnitudes to tail probabilities that follow the stream."""
