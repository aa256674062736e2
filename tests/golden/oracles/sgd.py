"""optax.sgd, with the velocity before the learning rate."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.05},
    "momentum": {"learning_rate": 0.05, "momentum": 0.9},
    "nesterov-decay": {
        "learning_rate": 0.02,
        "momentum": 0.8,
        "nesterov": True,
        "weight_decay": 0.3,
    },
}


@by_optax
def trajectory(optax, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    rule = optax.trace(momentum, nesterov)
    return decayed(optax, rule, learning_rate, weight_decay)
