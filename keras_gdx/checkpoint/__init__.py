"""Training state in files: optimizers, whole runs, exported models."""
