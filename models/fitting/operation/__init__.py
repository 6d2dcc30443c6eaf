"""Operating conditions and modes, found in training or named."""
