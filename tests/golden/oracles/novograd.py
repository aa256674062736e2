"""optax.novograd."""

from tests.golden.packages import by_optax

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {
        "learning_rate": 0.1,
        "beta_1": 0.8,
        "beta_2": 0.7,
        "epsilon": 1e-2,
        "weight_decay": 0.2,
    },
    "damped": {"learning_rate": 0.2, "beta_1": 0.5, "beta_2": 0.95, "epsilon": 1.0},
}


@by_optax
def trajectory(optax, learning_rate, beta_1=0.9, beta_2=0.25, epsilon=1e-6, weight_decay=0.0):
    return optax.novograd(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay)
