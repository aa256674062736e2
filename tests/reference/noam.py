"""Vaswani et al. 2017 (arXiv:1706.03762), equation 3, with update 0 as its step 1."""

HYPER = ({"d_model": 64, "warmup_steps": 10, "factor": 2.0},)


def value(t, d_model, warmup_steps, factor=1.0):
    step = t + 1
    return factor * d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)
