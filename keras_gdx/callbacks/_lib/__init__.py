"""What callbacks have in common; no callback itself."""
