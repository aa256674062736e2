"""optax.lars."""

from tests.golden.packages import by_optax

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.5},
    "decay": {
        "learning_rate": 0.5,
        "momentum": 0.8,
        "trust_coefficient": 0.05,
        "weight_decay": 0.5,
    },
    "nesterov-decay": {
        "learning_rate": 1.0,
        "momentum": 0.6,
        "trust_coefficient": 0.02,
        "nesterov": True,
        "weight_decay": 0.2,
    },
}


@by_optax
def trajectory(
    optax, learning_rate, momentum=0.9, trust_coefficient=0.001, nesterov=False, weight_decay=0.0
):
    return optax.lars(
        learning_rate,
        weight_decay,
        trust_coefficient=trust_coefficient,
        momentum=momentum,
        nesterov=nesterov,
    )
