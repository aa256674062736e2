"""optax.adam and optax.amsgrad."""

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
    "amsgrad": {"learning_rate": 0.05, "amsgrad": True},
    "amsgrad-decay": {
        "learning_rate": 0.1,
        "beta_1": 0.7,
        "beta_2": 0.8,
        "epsilon": 1e-4,
        "amsgrad": True,
        "weight_decay": 0.1,
    },
}


@by_optax
def trajectory(
    optax,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    amsgrad=False,
    weight_decay=0.0,
):
    scale = optax.scale_by_amsgrad if amsgrad else optax.scale_by_adam
    return decayed(optax, scale(beta_1, beta_2, epsilon), learning_rate, weight_decay)
