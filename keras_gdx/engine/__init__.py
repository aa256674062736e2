"""One update: from the gradients of a micro-batch to new weights and state."""
