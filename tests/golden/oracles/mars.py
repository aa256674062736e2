"""pytorch_optimizer.MARS, with the epsilon of the paper."""

from tests.golden.packages import by_torch

PACKAGE = "pytorch_optimizer"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {
        "learning_rate": 0.1,
        "beta_1": 0.8,
        "beta_2": 0.9,
        "gamma": 0.2,
        "epsilon": 1e-3,
        "weight_decay": 0.2,
    },
    "uncorrected": {"learning_rate": 0.05, "beta_1": 0.7, "gamma": 0.0, "epsilon": 1e-5},
}


def trajectory(
    weights,
    gradients,
    learning_rate,
    beta_1=0.95,
    beta_2=0.99,
    gamma=0.025,
    epsilon=1e-8,
    weight_decay=0.0,
):
    from pytorch_optimizer import MARS

    class WithItsEpsilon(MARS):
        """Adds epsilon after the bias correction, and no second one inside the root."""

        def step(self):
            (group,) = self.param_groups
            group["eps"] = epsilon * (1 - beta_2 ** (group.get("step", 0) + 1)) ** 0.5
            super().step()

        @staticmethod
        def apply_ams_bound(ams_bound, exp_avg_sq, max_exp_avg_sq, eps):
            return exp_avg_sq.sqrt() + eps

    return by_torch(
        weights,
        gradients,
        lambda w: [
            WithItsEpsilon(
                w.values(),
                learning_rate,
                (beta_1, beta_2),
                gamma,
                weight_decay=weight_decay,
                optimize_1d=True,
                eps=epsilon,
                foreach=False,
            )
        ],
    )
