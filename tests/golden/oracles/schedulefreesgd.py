"""schedulefree.SGDScheduleFree."""

from tests.golden.packages import by_schedulefree

PACKAGE = "schedulefree"
CASES = {
    "default": {"learning_rate": 0.05},
    "warmup": {"learning_rate": 0.1, "warmup_steps": 12},
    "weighted-decay": {
        "learning_rate": 0.1,
        "beta": 0.8,
        "weight_lr_power": 0.5,
        "r": 1.5,
        "warmup_steps": 7,
        "weight_decay": 0.3,
    },
}


def trajectory(weights, gradients, learning_rate, beta=0.9, **options):
    from schedulefree import SGDScheduleFree

    return by_schedulefree(
        weights, gradients, lambda w: SGDScheduleFree(w, learning_rate, beta, **options)
    )
