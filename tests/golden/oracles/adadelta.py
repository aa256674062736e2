"""optax.adadelta."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 1.0},
    "decay": {"learning_rate": 0.5, "rho": 0.8, "epsilon": 1e-3, "weight_decay": 0.2},
    "fast": {"learning_rate": 2.0, "rho": 0.97, "epsilon": 1e-2},
}


@by_optax
def trajectory(optax, learning_rate=1.0, rho=0.9, epsilon=1e-6, weight_decay=0.0):
    return decayed(optax, optax.scale_by_adadelta(rho, epsilon), learning_rate, weight_decay)
