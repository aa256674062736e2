"""What every update rule promises, whatever it computes: each test runs over the registry."""
