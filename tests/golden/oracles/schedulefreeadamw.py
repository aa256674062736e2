"""schedulefree.AdamWScheduleFree."""

from tests.golden.packages import by_schedulefree

PACKAGE = "schedulefree"
CASES = {
    "default": {"learning_rate": 0.05},
    "warmup": {"learning_rate": 0.1, "warmup_steps": 12},
    "weighted-decay": {
        "learning_rate": 0.1,
        "beta": 0.95,
        "beta_2": 0.9,
        "epsilon": 1e-3,
        "weight_lr_power": 1.0,
        "r": 0.5,
        "warmup_steps": 7,
        "weight_decay": 0.5,
    },
}


def trajectory(weights, gradients, learning_rate, beta=0.9, beta_2=0.999, epsilon=1e-8, **options):
    from schedulefree import AdamWScheduleFree

    return by_schedulefree(
        weights,
        gradients,
        lambda w: AdamWScheduleFree(w, learning_rate, (beta, beta_2), epsilon, **options),
    )
