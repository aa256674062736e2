"""Yong et al. 2020 (arXiv:2004.01461), equation 1."""

HYPER = ({},)


def modified(g, w):
    return g if g.ndim < 2 else g - g.reshape(-1, g.shape[-1]).mean(0)
