"""pytorch_optimizer.Adan."""

from tests.golden.packages import by_torch

PACKAGE = "pytorch_optimizer"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {
        "learning_rate": 0.1,
        "beta_1": 0.9,
        "beta_2": 0.7,
        "beta_3": 0.95,
        "epsilon": 1e-4,
        "weight_decay": 0.5,
    },
}


def trajectory(
    weights,
    gradients,
    learning_rate,
    beta_1=0.98,
    beta_2=0.92,
    beta_3=0.99,
    epsilon=1e-8,
    weight_decay=0.0,
):
    from pytorch_optimizer import Adan

    betas = beta_1, beta_2, beta_3
    return by_torch(
        weights,
        gradients,
        lambda w: [Adan(w.values(), learning_rate, betas, weight_decay, eps=epsilon)],
    )
