"""optax.contrib.adopt."""

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
    "unclipped": {
        "learning_rate": 0.01,
        "beta_1": 0.7,
        "beta_2": 0.9,
        "epsilon": 0.1,
        "clip": False,
    },
}


@by_optax
def trajectory(
    optax,
    learning_rate,
    beta_1=0.9,
    beta_2=0.9999,
    epsilon=1e-6,
    clip=True,
    weight_decay=0.0,
):
    # With a rate of -1 its step is the direction.
    rule = optax.contrib.adopt(-1.0, beta_1, beta_2, epsilon, use_clipping=clip)
    return decayed(optax, rule, learning_rate, weight_decay)
