"""Optimizer state: what is kept between steps, and how it is stored."""
