"""pytorch_optimizer.Prodigy."""

from math import inf

from tests.golden.packages import by_torch

PACKAGE = "pytorch_optimizer"
# With a `d0` much smaller than the weights, float32 rounds the distances that are estimated.
CASES = {
    "default": {"learning_rate": 0.2, "d0": 0.01},
    "decay": {
        "learning_rate": 0.5,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "beta_3": 0.9,
        "d0": 0.02,
        "d_coefficient": 2.0,
        "epsilon": 1e-3,
        "weight_decay": 0.2,
    },
    "all-options": {
        "learning_rate": 0.7,
        "beta_2": 0.99,
        "d0": 0.02,
        "growth_rate": 1.1,
        "use_bias_correction": True,
        "safeguard_warmup": True,
        "weight_decay": 0.1,
    },
}


def trajectory(
    weights,
    gradients,
    learning_rate=1.0,
    beta_1=0.9,
    beta_2=0.999,
    beta_3=None,
    d0=1e-6,
    d_coefficient=1.0,
    growth_rate=inf,
    epsilon=1e-8,
    use_bias_correction=False,
    safeguard_warmup=False,
    weight_decay=0.0,
):
    import torch
    from pytorch_optimizer import Prodigy

    def make(parameters):
        return [
            Prodigy(
                parameters.values(),
                learning_rate,
                (beta_1, beta_2),
                beta_3,
                d0,
                d_coefficient,
                growth_rate,
                weight_decay,
                bias_correction=use_bias_correction,
                safeguard_warmup=safeguard_warmup,
                eps=epsilon,
            )
        ]

    # Its sums have torch's default dtype.
    torch.set_default_dtype(torch.float64)
    yield from by_torch(weights, gradients, make)
