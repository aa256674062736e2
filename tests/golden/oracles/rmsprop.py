"""optax.rmsprop."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {"learning_rate": 0.1, "rho": 0.7, "epsilon": 1e-3, "weight_decay": 0.2},
    "centered": {
        "learning_rate": 0.03,
        "rho": 0.8,
        "momentum": 0.6,
        "centered": True,
        "epsilon": 1e-4,
    },
}


@by_optax
def trajectory(
    optax,
    learning_rate,
    rho=0.9,
    momentum=0.0,
    centered=False,
    epsilon=1e-8,
    weight_decay=0.0,
):
    rule = optax.rmsprop(1.0, rho, epsilon, centered=centered, momentum=momentum)
    return decayed(optax, optax.chain(rule, optax.scale(-1.0)), learning_rate, weight_decay)
