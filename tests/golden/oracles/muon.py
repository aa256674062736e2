"""torch.optim.Muon on transposed kernels."""

from unittest import mock

from tests.golden.packages import by_torch
from tests.golden.problem import USUAL

PACKAGE = "torch"
NAMES = (*USUAL, "wide_kernel")

FALLBACK = {
    "rule": "AdamW",
    "kwargs": {
        "learning_rate": 0.05,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "epsilon": 1e-6,
        "weight_decay": 0.1,
    },
}
CASES = {
    "default": {"fallback": FALLBACK},
    "match-rms-decay": {
        "learning_rate": 0.05,
        "momentum": 0.8,
        "ns_steps": 7,
        "ns_coefficients": [2.0, -1.5, 0.5],
        "adjust": "match_rms_adamw",
        "weight_decay": 0.5,
        "fallback": FALLBACK,
    },
    "unadjusted": {"momentum": 0.9, "nesterov": False, "adjust": None, "fallback": FALLBACK},
}


def trajectory(
    weights,
    gradients,
    fallback,
    learning_rate=0.02,
    momentum=0.95,
    nesterov=True,
    ns_steps=5,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    adjust="original",
    weight_decay=0.0,
):
    import torch

    def make(kernels):
        matrices = torch.optim.Muon(
            kernels,
            lr=learning_rate,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            ns_steps=ns_steps,
        )
        # Its constructor takes None for "original" and has no value for "not at all".
        matrices.param_groups[0]["adjust_lr_fn"] = adjust or "not at all"
        return matrices

    # For speed, torch rounds the matrix to bfloat16 before it iterates; here it only copies.
    with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone):
        yield from on_transposed(weights, gradients, make, fallback)


def on_transposed(weights, gradients, make, fallback):
    """Runs `make(kernels)` on kernels in torch's layout, and AdamW on the other weights."""
    import torch

    def both(parameters):
        options = fallback["kwargs"]
        others = torch.optim.AdamW(
            [w for name, w in parameters.items() if not name.endswith("kernel")],
            lr=options["learning_rate"],
            betas=(options["beta_1"], options["beta_2"]),
            eps=options["epsilon"],
            weight_decay=options["weight_decay"],
        )
        kernels = [w for name, w in parameters.items() if name.endswith("kernel")]
        return make(kernels), others

    def turned(values):
        """Kernels in torch's layout of dense layers: (outputs, inputs)."""
        return {
            name: x.reshape(-1, x.shape[-1]).T if name.endswith("kernel") else x
            for name, x in values.items()
        }

    def turned_back(values):
        return {name: x.T.reshape(weights[name].shape) for name, x in values.items()}

    yield from map(turned_back, by_torch(turned(weights), map(turned, gradients), both))
