"""Brock et al. 2021 (arXiv:2102.06171), equation 3, unit by unit. A vector is one unit."""

import numpy as np

HYPER = ({"clipping": 0.2, "epsilon": 0.1},)


def modified(g, w, clipping=0.01, epsilon=1e-3):
    units = [np.s_[...]] if g.ndim < 2 else [np.s_[..., i] for i in range(g.shape[-1])]
    result = g.copy()
    for unit in units:
        length = np.linalg.norm(g[unit])
        most = clipping * max(np.linalg.norm(w[unit]), epsilon)
        if length > most:
            result[unit] = g[unit] * most / length
    return result
