"""optax.adamw."""

from tests.golden.packages import by_optax

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {
        "learning_rate": 0.1,
        "beta_1": 0.95,
        "beta_2": 0.9,
        "epsilon": 1e-2,
        "weight_decay": 0.5,
    },
}


@by_optax
def trajectory(optax, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.01):
    return optax.adamw(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay)
