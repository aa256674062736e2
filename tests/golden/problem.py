"""The weights and gradients that every recording and every reference starts from."""

import numpy as np

SHAPES = {
    "matrix_kernel": (6, 4),
    "vector": (5,),
    "convolution_kernel": (3, 3, 2, 4),
    "scalar": (),
    "wide_kernel": (3, 8),
    "block_kernel": (2, 2, 3, 4),
}
USUAL = ("matrix_kernel", "vector", "convolution_kernel", "scalar")


def problem(names=SHAPES, *, steps, seed=0):
    """Makes float32 weights, and gradients that do not depend on them.

    The scale of the gradients varies by a factor of 100, entries change sign, one entry is so small
    that epsilon matters, one stays zero, and the vector starts at zero, as biases do.

    Returns:
        Two dictionaries by name: the weights, and the gradients of shape `(steps, *shape)`.
    """
    made = {name: _make(name, steps, seed) for name in names}
    return {n: w for n, (w, _) in made.items()}, {n: g for n, (_, g) in made.items()}


def _make(name, steps, seed):
    rng = np.random.default_rng([seed, list(SHAPES).index(name)])
    shape = SHAPES[name]

    def uniform(*size):
        return 2 * rng.random(size) - 1

    weights = 0 * uniform(*shape) if name == "vector" else uniform(*shape)
    scale = 10 ** np.sin(np.arange(steps)).reshape(-1, *(1 for _ in shape))
    gradients = scale * (uniform(steps, *shape) + uniform(*shape) / 2)
    if shape:
        entries = gradients.reshape(steps, -1)
        entries[:, 0] *= 1e-6
        entries[:, 1] = 0
    return np.asarray(weights, "float32"), np.asarray(gradients, "float32")
