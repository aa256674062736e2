"""optax.adafactor."""

import numpy as np

from tests.golden.packages import by_optax

PACKAGE = "optax"
# optax factors the two largest axes, we the last two: in `block_kernel` these are the same.
NAMES = ("matrix_kernel", "vector", "block_kernel", "scalar")
CASES = {
    "default": {},
    "factored": {"learning_rate": 0.2, "min_dim_size_to_factor": 3},
    "factored-decay": {
        "learning_rate": 0.05,
        "beta_1": 0.8,
        "decay_rate": 0.6,
        "epsilon_1": 1e-6,
        "clip_threshold": 2.0,
        "scale_parameter": False,
        "min_dim_size_to_factor": 3,
        "weight_decay": 0.3,
    },
    "relative-decay": {"beta_1": 0.9, "clip_threshold": 0.5, "weight_decay": 2.0},
}


@by_optax
def trajectory(
    optax,
    learning_rate=None,
    beta_1=None,
    decay_rate=0.8,
    epsilon_1=1e-30,
    clip_threshold=1.0,
    scale_parameter=True,
    min_dim_size_to_factor=128,
    weight_decay=0.0,
):
    def rate(step):
        relative = np.minimum(1e-2, (step + 1.0) ** -0.5)
        return relative if learning_rate is None else learning_rate

    return optax.adafactor(
        rate,
        min_dim_size_to_factor,
        decay_rate,
        multiply_by_parameter_scale=scale_parameter,
        clipping_threshold=clip_threshold,
        momentum=beta_1,
        dtype_momentum=np.float64,
        weight_decay_rate=lambda step: rate(step) * weight_decay,
        eps=epsilon_1,
    )
