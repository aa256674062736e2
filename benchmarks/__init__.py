"""Measurements, always as a ratio against Keras' own in the same run."""
