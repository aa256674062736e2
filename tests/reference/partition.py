"""By definition: every variable as its own rule moves it alone."""

import re
from importlib import import_module

from tests.golden.problem import SHAPES

MOMENTUM = {"rule": "SGD", "kwargs": {"learning_rate": 0.0625, "momentum": 0.9}}
SIGNS = {"rule": "Lion", "kwargs": {"learning_rate": 0.03125, "weight_decay": 0.5}}
ADAPTIVE = {"rule": "Adam", "kwargs": {"learning_rate": 0.0625, "beta_1": 0.8}}
HYPER = ({"rules": {"^matrix": MOMENTUM, "kernel$": SIGNS}, "default": ADAPTIVE},)


def trajectory(weights, gradients, *, rules, default):
    gradients = list(gradients)
    alone = []
    for i, name in enumerate(SHAPES):
        rule = next((r for pattern, r in rules.items() if re.search(pattern, name)), default)
        reference = import_module(f"tests.reference.{rule['rule'].lower()}")
        steps = [[step[i]] for step in gradients]
        alone.append(reference.trajectory([weights[i]], steps, **rule["kwargs"]))
    for values in zip(*alone, strict=True):
        yield [w for (w,) in values]
