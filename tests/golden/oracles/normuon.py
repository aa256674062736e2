"""NorMuon of pytorch_optimizer on transposed kernels."""

from functools import partial
from unittest import mock

from tests.golden.oracles.muon import FALLBACK, NAMES, on_transposed
from tests.golden.polar_express import polar_express

__all__ = ["CASES", "NAMES", "PACKAGE", "trajectory"]

PACKAGE = "pytorch_optimizer"
CASES = {
    "default": {"fallback": FALLBACK},
    "match-rms-decay": {
        "learning_rate": 0.05,
        "momentum": 0.8,
        "beta_2": 0.7,
        "nesterov": False,
        "ns_steps": 7,
        "ns_coefficients": [2.0, -1.5, 0.5],
        "adjust": "match_rms_adamw",
        "weight_decay": 0.5,
        "fallback": FALLBACK,
    },
    "polar-express": {
        "learning_rate": 0.1,
        "beta_2": 0.99,
        "ns_coefficients": "polar_express",
        "fallback": FALLBACK,
    },
}


def trajectory(
    weights,
    gradients,
    fallback,
    learning_rate=0.02,
    momentum=0.95,
    beta_2=0.95,
    nesterov=True,
    ns_steps=5,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    adjust="original",
    weight_decay=0.0,
):
    import torch
    from pytorch_optimizer.optimizer.muon import normuon

    polar = ns_coefficients == "polar_express"
    polynomials = polar_express(ns_steps) if polar else [ns_coefficients]

    def make(kernels):
        return normuon.NorMuon(
            [{"params": kernels, "use_muon": True}],
            lr=learning_rate,
            momentum=momentum,
            beta2=beta_2,
            weight_decay=weight_decay,
            nesterov=nesterov,
            ns_steps=ns_steps,
            ns_coeffs=[tuple(map(float, p)) for p in polynomials],
            update_scale="match_rms" if adjust == "original" else "preserve_norm",
            use_adjusted_lr=adjust == "match_rms_adamw",
            foreach=False,
        )

    # It iterates in bfloat16, and its option of a margin is not available in the optimizer.
    iterate = partial(
        normuon.zero_power_via_newton_schulz_5,
        dtype=torch.float64,
        safety_factor=1.01 if polar else 1.0,
    )
    with mock.patch.object(normuon, "zero_power_via_newton_schulz_5", iterate):
        yield from on_transposed(weights, gradients, make, fallback)
