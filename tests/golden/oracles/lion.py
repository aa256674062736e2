"""optax.lion."""

from tests.golden.packages import by_optax

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.01},
    "decay": {"learning_rate": 0.03, "beta_1": 0.6, "beta_2": 0.8, "weight_decay": 0.5},
}


@by_optax
def trajectory(optax, learning_rate, beta_1=0.9, beta_2=0.99, weight_decay=0.0):
    return optax.lion(learning_rate, beta_1, beta_2, weight_decay=weight_decay)
