"""Shazeer and Stern 2018 (arXiv:1804.04235), section 8.1, without the parameter scale."""

HYPER = ({"maximum": 0.2},)


def value(t, maximum=1e-2):
    return min(maximum, (t + 1) ** -0.5)
