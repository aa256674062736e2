"""pytorch_optimizer.MADGRAD."""

from tests.golden.packages import by_torch

PACKAGE = "pytorch_optimizer"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {"learning_rate": 0.1, "momentum": 0.6, "epsilon": 1e-5, "weight_decay": 0.2},
    "no-momentum": {"learning_rate": 0.02, "momentum": 0.0, "epsilon": 1e-3},
}


def trajectory(weights, gradients, learning_rate, momentum=0.9, epsilon=1e-6, weight_decay=0.0):
    from pytorch_optimizer import MADGRAD

    # It adds epsilon to the rate of the decay too.
    weight_decay *= learning_rate / (learning_rate + epsilon)
    options = {"weight_decay": weight_decay, "weight_decouple": True, "eps": epsilon}
    return by_torch(
        weights, gradients, lambda w: [MADGRAD(w.values(), learning_rate, momentum, **options)]
    )
