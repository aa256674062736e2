"""The update engine: from the gradients of a micro-batch to new weights and state."""
