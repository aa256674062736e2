"""optax.sm3."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
NAMES = ("matrix_kernel", "vector", "convolution_kernel")  # it has no state for scalars
CASES = {
    "default": {"learning_rate": 0.1},
    "decay": {"learning_rate": 0.3, "momentum": 0.6, "epsilon": 1e-2, "weight_decay": 0.2},
    "no-momentum": {"learning_rate": 0.2, "momentum": 0.0, "epsilon": 1e-4},
}


@by_optax
def trajectory(optax, learning_rate=0.1, momentum=0.9, epsilon=1e-8, weight_decay=0.0):
    rule = optax.scale_by_sm3(momentum, eps=epsilon)
    return decayed(optax, rule, learning_rate, weight_decay)
