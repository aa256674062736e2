"""optax.signum, and optax.sign_sgd without momentum."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {"learning_rate": 0.03, "momentum": 0.7, "weight_decay": 0.2},
    "sign": {"learning_rate": 0.02, "momentum": 0.0, "weight_decay": 0.1},
}


@by_optax
def trajectory(optax, learning_rate, momentum=0.9, weight_decay=0.0):
    rule = optax.signum(1.0, momentum) if momentum else optax.sign_sgd(1.0)
    return decayed(optax, optax.chain(rule, optax.scale(-1.0)), learning_rate, weight_decay)
