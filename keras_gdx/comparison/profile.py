"""Performance profiles: how often a strategy is nearly the fastest."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST = 4.0  # times as slow as the fastest counts as never, as in AlgoPerf


class Profile(NamedTuple):
    r"""Performance profiles of strategies.

    $$\rho_s(\tau) = \frac{1}{|P|}\, |\{p \in P : t_{ps} \le \tau \min_{s'} t_{ps'}\}|$$

    Attributes:
        factors: The factors, $\tau$ from 1 to 4.
        shares: For each strategy, the share of problems that it solves in that many times the time
            of the fastest strategy.
    """

    factors: NDArray[np.float64]
    shares: dict[str, NDArray[np.float64]]

    @property
    def scores(self) -> dict[str, float]:
        """The mean share over all factors, in [0, 1]; 1 for the fastest on every problem."""
        return {name: float(share.mean()) for name, share in self.shares.items()}


def profile(times: Mapping[str, Sequence[float]]) -> Profile:
    """The performance profiles of strategies on the same problems.

    A problem is a task, or a seed.

    Args:
        times: For each strategy, its time to the target on each problem; infinite if it fails.

    Source: Dolan and Moré 2002; arXiv:2306.07179, Dahl et al. 2023 (AlgoPerf, its score)

    Example:
        >>> found = profile({"a": [1.0, 2.0], "b": [3.0, 2.0]})
        >>> print({name: f"{score:.2f}" for name, score in found.scores.items()})
        {'a': '1.00', 'b': '0.67'}
    """
    table: Any = np.array(list(times.values()), "float64")
    if not table.size:
        table = np.full((len(times), 1), np.inf)  # no problem is none that is solved
    fastest = table.min(0)
    with np.errstate(invalid="ignore"):  # what nobody solves
        ratios = np.where(np.isfinite(table), table / np.maximum(fastest, 1e-12), np.inf)
    factors = np.linspace(1.0, MOST, 601)
    shares = (ratios[:, None, :] <= factors[None, :, None] * (1 + 1e-9)).mean(-1)
    return Profile(factors, dict(zip(times, shares, strict=True)))
