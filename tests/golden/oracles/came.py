"""pytorch_optimizer.CAME."""

from tests.golden.packages import by_torch

PACKAGE = "pytorch_optimizer"
CASES = {
    "default": {"learning_rate": 0.001},
    "decay": {
        "learning_rate": 0.05,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "beta_3": 0.99,
        "clip_threshold": 0.5,
        "epsilon_1": 1e-6,
        "epsilon_2": 1e-3,
        "weight_decay": 0.2,
    },
    "unclipped": {
        "learning_rate": 0.01,
        "beta_1": 0.7,
        "beta_2": 0.9,
        "beta_3": 0.8,
        "clip_threshold": 100.0,
        "epsilon_2": 1e-8,
    },
}


def trajectory(
    weights,
    gradients,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    beta_3=0.9999,
    clip_threshold=1.0,
    epsilon_1=1e-30,
    epsilon_2=1e-16,
    weight_decay=0.0,
):
    from pytorch_optimizer import CAME

    return by_torch(
        weights,
        gradients,
        lambda w: [
            CAME(
                w.values(),
                learning_rate,
                (beta_1, beta_2, beta_3),
                weight_decay,
                weight_decouple=True,
                clip_threshold=clip_threshold,
                eps1=epsilon_1,
                eps2=epsilon_2,
            )
        ],
    )
