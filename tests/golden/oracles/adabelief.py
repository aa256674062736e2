"""optax.adabelief."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {
        "learning_rate": 0.1,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "epsilon": 1e-3,
        "weight_decay": 0.2,
    },
    "short-memory": {"learning_rate": 0.02, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 1e-6},
}


@by_optax
def trajectory(optax, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-16, weight_decay=0.0):
    rule = optax.scale_by_belief(beta_1, beta_2, epsilon, epsilon)
    return decayed(optax, rule, learning_rate, weight_decay)
