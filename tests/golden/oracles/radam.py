"""optax.radam."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {
        "learning_rate": 0.05,
        "beta_1": 0.8,
        "beta_2": 0.98,
        "epsilon": 1e-4,
        "threshold": 8.0,
        "weight_decay": 0.2,
    },
}


@by_optax
def trajectory(
    optax,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    threshold=5.0,
    weight_decay=0.0,
):
    rule = optax.scale_by_radam(beta_1, beta_2, epsilon, threshold=threshold)
    return decayed(optax, rule, learning_rate, weight_decay)
