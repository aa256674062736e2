"""The same weights and gradients for all libraries."""

import numpy as np

UPDATES = 10
RATES = 24  # values of a schedule
_RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "kernel": _RANDOM.normal(size=(4, 3)).astype("float32"),
    "bias": _RANDOM.normal(size=(3,)).astype("float32"),
}
GRADIENTS = {
    name: _RANDOM.normal(size=(UPDATES, *w.shape)).astype("float32") for name, w in WEIGHTS.items()
}
ROWS = [2, 0]  # of the kernel, which have gradients where these are sparse


def is_sparse(call):
    return "LazyAdam" in call or "SparseAdam" in call
