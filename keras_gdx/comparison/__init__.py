"""Comparison of training strategies by experiment."""
