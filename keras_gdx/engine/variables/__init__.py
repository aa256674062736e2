"""What a variable is in its model: role, path, block."""
