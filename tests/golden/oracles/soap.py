"""SOAP of pytorch_optimizer.

It decays the weights after the step, not before, so it runs without decay here. A basis is unique
only if no axis is longer than the first gradient's rank, which is so for these variables.
"""

from tests.golden.packages import by_torch

PACKAGE = "pytorch_optimizer"
NAMES = ("convolution_kernel", "vector", "scalar", "block_kernel")
CASES = {
    "default": {"learning_rate": 0.05},
    "often": {
        "learning_rate": 0.02,
        "beta_1": 0.8,
        "beta_2": 0.9,
        "precondition_frequency": 1,
        "epsilon": 1e-4,
        "weight_decay": 0.5,
    },
    "one-sided": {
        "learning_rate": 0.05,
        "beta_1": 0.9,
        "beta_2": 0.99,
        "precondition_frequency": 4,
        "max_precondition_dim": 3,
    },
}


def trajectory(
    weights,
    gradients,
    learning_rate=3e-3,
    beta_1=0.95,
    beta_2=0.95,
    precondition_frequency=10,
    max_precondition_dim=10000,
    epsilon=1e-8,
    weight_decay=0.0,
):
    import torch
    from pytorch_optimizer import SOAP

    class Decaying(SOAP):
        def step(self):
            before = [p.detach().clone() for group in self.param_groups for p in group["params"]]
            super().step()
            if self.param_groups[0]["step"] == 1:
                return
            with torch.no_grad():
                for p, old in zip(self.param_groups[0]["params"], before, strict=True):
                    p -= learning_rate * weight_decay * old

    def make(parameters):
        optimizer = Decaying(
            parameters.values(),
            lr=learning_rate,
            betas=(beta_1, beta_2),
            weight_decay=0.0,
            precondition_frequency=precondition_frequency,
            max_precondition_dim=max_precondition_dim,
            eps=epsilon,
        )
        return [optimizer]

    yield from by_torch(weights, gradients, make)
