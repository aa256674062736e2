"""Kron of pytorch_optimizer, with our noise.

    python -m tests.golden.oracles.kron

writes that noise, with TensorFlow. The oracle decays no vectors and scalars, balances the factors
by chance, which changes nothing but rounding errors, and solves in float32.
"""

from pathlib import Path
from unittest import mock

import numpy as np

from tests.golden.packages import by_torch
from tests.golden.problem import USUAL, problem

PACKAGE = "pytorch_optimizer"
CASES = {
    "default": {"learning_rate": 0.05},
    "seldom": {
        "learning_rate": 0.02,
        "momentum": 0.7,
        "update_probability": 0.4,
        "weight_decay": 0.5,
    },
    "diagonal": {
        "learning_rate": 0.05,
        "momentum": 0.0,
        "update_probability": 1.0,
        "max_size_triangular": 3,
    },
}
NOISE = Path(__file__).with_suffix(".npz")


def trajectory(
    weights,
    gradients,
    learning_rate,
    momentum=0.9,
    update_probability=None,
    max_size_triangular=8192,
    weight_decay=0.0,
):
    import torch
    from pytorch_optimizer.optimizer import psgd

    with np.load(NOISE) as file:
        noise = [file[name].astype("float64") for name in weights]

    def solve(x, a):
        columns = x.reshape(-1, x.size(-1))
        return torch.linalg.solve_triangular(a, columns, upper=True, left=False).reshape_as(x)

    class Decaying(psgd.Kron):
        def step(self):
            t = self.param_groups[0].get("step", 0)
            given = [torch.tensor(x[t]) for x in noise]
            parameters = self.param_groups[0]["params"]
            with torch.no_grad():
                before = [p.detach().clone() for p in parameters]
                with mock.patch("torch.randn_like", side_effect=given):
                    super().step()
                for p, old in zip(parameters, before, strict=True):
                    if p.dim() < 2:
                        p -= learning_rate * weight_decay * old

    def make(parameters):
        optimizer = Decaying(
            parameters.values(),
            lr=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            pre_conditioner_update_probability=update_probability,
            max_size_triangular=max_size_triangular,
            precondition_dtype=torch.float64,
            balance_prob=0.0,
        )
        return [optimizer]

    with mock.patch.object(psgd, "solve_triangular_right", solve):
        yield from by_torch(weights, gradients, make)


def write_noise(steps):
    from keras_gdx.backends import backend

    weights, _ = problem(USUAL, steps=1)
    np.savez_compressed(
        NOISE,
        **{
            name: np.stack([backend.normal(w.shape, 0, t + 1, i) for t in range(steps)])
            for i, (name, w) in enumerate(weights.items())
        },
    )


if __name__ == "__main__":
    write_noise(steps=30)
