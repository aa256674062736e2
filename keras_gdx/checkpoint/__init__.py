"""Training state in files: optimizers, complete runs, exported models."""
