"""What single cells hold: numbers, decimal signs, units, texts."""
