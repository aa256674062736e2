"""The contract of every update rule: each test runs over the registry."""
