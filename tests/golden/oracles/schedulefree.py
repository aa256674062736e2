"""schedulefree's optimizers, by the rule inside."""

from tests.golden.oracles import schedulefreeadamw, schedulefreesgd

PACKAGE = "schedulefree"
CASES = {
    "sgd": {
        "inner": {"rule": "SGD", "kwargs": {"learning_rate": 0.1, "weight_decay": 0.3}},
        "beta": 0.8,
        "r": 1.0,
        "warmup_steps": 5,
    },
    "adam": {
        "inner": {
            "rule": "Adam",
            "kwargs": {
                "learning_rate": 0.1,
                "beta_1": 0.0,
                "beta_2": 0.9,
                "epsilon": 1e-4,
                "weight_decay": 0.3,
            },
        },
        "weight_lr_power": 1.0,
        "warmup_steps": 5,
    },
}


def trajectory(weights, gradients, inner, **options):
    oracle = {"SGD": schedulefreesgd, "Adam": schedulefreeadamw}[inner["rule"]]
    options |= {name: x for name, x in inner["kwargs"].items() if name != "beta_1"}
    return oracle.trajectory(weights, gradients, **options)
