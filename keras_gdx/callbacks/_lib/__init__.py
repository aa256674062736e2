"""Helpers shared by callbacks."""
