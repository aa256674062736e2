"""pytorch_optimizer.AdEMAMix."""

from tests.golden.packages import by_torch

PACKAGE = "pytorch_optimizer"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {
        "learning_rate": 0.1,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "beta_3": 0.99,
        "alpha": 3.0,
        "epsilon": 1e-3,
        "weight_decay": 0.2,
    },
    "warmup": {"learning_rate": 0.05, "beta_3": 0.999, "alpha": 8.0, "warmup_steps": 20},
}


def trajectory(
    weights,
    gradients,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    beta_3=0.9999,
    alpha=5.0,
    warmup_steps=None,
    epsilon=1e-8,
    weight_decay=0.0,
):
    from pytorch_optimizer import AdEMAMix

    return by_torch(
        weights,
        gradients,
        lambda w: [
            AdEMAMix(
                w.values(),
                learning_rate,
                (beta_1, beta_2, beta_3),
                weight_decay,
                weight_decouple=True,
                alpha=alpha,
                t_alpha_beta3=warmup_steps,
                eps=epsilon,
            )
        ],
    )
