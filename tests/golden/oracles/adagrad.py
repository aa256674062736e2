"""optax.adagrad."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.1},
    "decay": {
        "learning_rate": 0.3,
        "initial_accumulator_value": 0.5,
        "epsilon": 1e-2,
        "weight_decay": 0.2,
    },
    "from-zero": {"learning_rate": 0.2, "initial_accumulator_value": 0.0, "epsilon": 1e-6},
}


@by_optax
def trajectory(
    optax,
    learning_rate,
    initial_accumulator_value=0.1,
    epsilon=1e-7,
    weight_decay=0.0,
):
    rule = optax.scale_by_rss(initial_accumulator_value, epsilon)
    return decayed(optax, rule, learning_rate, weight_decay)
