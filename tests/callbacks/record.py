"""Records the decisions of PyTorch's ReduceLROnPlateau.

Run `python record.py > plateau.json` in this folder, with torch 2.13 and NumPy.
"""

import itertools
import json
import math

import numpy as np
import torch


def decisions(values, patience, **options):
    """The indices of the values after which the rate was reduced."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience - 1, eps=0.0, **options
    )
    reduced, rate = [], 1.0
    for index, value in enumerate(values):
        scheduler.step(math.nan if value is None else value)
        now = optimizer.param_groups[0]["lr"]
        if now < rate:
            reduced.append(index)
        rate = now
    return reduced


def cases():
    noise = np.random.default_rng(0)
    grid = itertools.product(("min", "max"), (True, False), (1, 2, 4), (0, 1, 3), (0.0, 0.05))
    for mode, relative, patience, cooldown, min_delta in grid:
        trend = 1 + np.exp(-np.arange(24) / 8)
        values = trend if mode == "min" else 4 - trend
        values = [round(float(v), 4) for v in values + 0.1 * noise.normal(size=24)]
        values[7] = None  # NaN
        yield {
            "mode": mode,
            "relative": relative,
            "patience": patience,
            "cooldown": cooldown,
            "min_delta": min_delta,
            "values": values,
            "reduced": decisions(
                values,
                patience,
                mode=mode,
                threshold=min_delta,
                threshold_mode="rel" if relative else "abs",
                cooldown=cooldown,
            ),
        }


if __name__ == "__main__":
    print("[" + ",\n".join(json.dumps(case) for case in cases()) + "]")
