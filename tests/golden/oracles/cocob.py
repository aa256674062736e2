"""optax.contrib.cocob."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {},
    "decay": {"learning_rate": 0.8, "alpha": 30.0, "weight_decay": 0.3},
    "bold": {"alpha": 3.0},
}


@by_optax
def trajectory(optax, learning_rate=1.0, alpha=100.0, weight_decay=0.0):
    # optax's own rate scales the gradients, which changes nothing, and its own decay is a penalty.
    rule = optax.chain(optax.contrib.scale_by_cocob(alpha), optax.scale(-1.0))
    return decayed(optax, rule, learning_rate, weight_decay)
