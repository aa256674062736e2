"""Measurements, each a ratio to Keras in the same run."""
