"""What an optimizer keeps between steps, and how it is stored."""
