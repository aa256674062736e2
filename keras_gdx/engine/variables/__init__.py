"""What a variable is in its model: its role, path and block."""
