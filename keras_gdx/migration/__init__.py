"""How to write here what was written with another library."""
