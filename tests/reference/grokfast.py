"""Lee et al. 2024 (arXiv:2405.20233), algorithm 1: the first step, without an effect of `alpha`."""

HYPER = ({"alpha": 0.75, "lam": 0.5},)


def modified(g, w, alpha=0.98, lam=2.0):
    return g + lam * g
