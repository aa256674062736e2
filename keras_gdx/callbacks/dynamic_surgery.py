"""Dynamic network surgery: pruning that can restore weights."""

from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Interval
from keras import ops

from keras_gdx.callbacks._lib.amount import EveryCount, Moment
from keras_gdx.callbacks._lib.argument_types import Pattern
from keras_gdx.callbacks._lib.masks import Pruning
from keras_gdx.engine.state.state import wide
from keras_gdx.engine.variables.masks import Masked, masked
from keras_gdx.registry import register

__all__ = ["DynamicSurgery"]


class Spliceable(Masked):
    """Stores dense weights behind the mask, which are updated even where pruned."""

    def __init__(self, variable: Any):
        super().__init__(variable)
        self.own, self.inner = self.inner, self.update
        self.dense = keras.Variable(
            ops.convert_to_numpy(variable), trainable=False, dtype=wide(variable)
        )

    @property
    def variables(self) -> list[Any]:
        return [self.mask, self.dense]

    def update(self, w: Any) -> Any:
        """Updates the dense weights, and returns them."""
        dense = ops.cast(self.dense, w.dtype)
        dense = dense + (w - masked(dense, self.mask))  # what was updated was masked
        dense = dense if self.own is None else self.own(dense)
        self.dense.assign(ops.cast(dense, self.dense.dtype))
        return dense

    def renew(self, variable: Any, mask: np.ndarray) -> None:
        self.mask.assign(mask)
        variable.assign(masked(ops.convert_to_tensor(self.dense), self.mask))

    def begin(self, variable: Any) -> None:
        super().begin(variable)
        self.dense.assign(ops.convert_to_tensor(variable))


@register
class DynamicSurgery(Pruning):
    r"""Prunes small weights, and restores (splices) them when they have grown.

    The model uses $w = \tilde w \odot m$; updates are applied to the dense weights $\tilde w$,
    pruned or not, so a weight that was pruned by mistake can return. Whenever `every` is over,
    for each kernel,

    $$m = \begin{cases} 0 & |\tilde w| < (1 - \delta) \tau \\
                        1 & |\tilde w| \ge (1 + \delta) \tau \\
                        m & \text{between} \end{cases}
      \qquad \tau = \max(\mu + c \sigma, 0)$$

    with mean $\mu$ and standard deviation $\sigma$ of $|\tilde w|$. After `end` the masks are
    fixed. The logs have `sparsity`. Memory: one byte and one dense weight, at least float32,
    per weight.

    Args:
        strength: Number, $c$: larger values prune more; may be negative.
        margin: Number in [0, 1), $\delta$: gap between the pruning and splicing thresholds.
        begin: Steps (batches) before the first change, or an amount such as `"2 epochs"`.
        end: Steps after which masks are fixed, more than `begin`, or an amount as in `begin`.
        every: Steps between two changes, or an amount such as `"1 epoch"`.
        include: Regular expression, searched for in the paths of trainable variables. `None`:
            kernels and embeddings.
        exclude: Regular expression for variables that are not pruned.

    Raises:
        ValueError: If an argument is out of range; when `fit` begins, if no variable is left,
            the model is not built, or its optimizer was used without this callback.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import DynamicSurgery
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((64, 8)), np.ones((64, 10))
        >>> callback = DynamicSurgery(0.0, end="12 steps", every="4 steps")
        >>> history = model.fit(x, y, batch_size=4, verbose=0, callbacks=[callback])
        >>> 0.2 < history.history["sparsity"][0] < 0.8
        True

    Source: arXiv:1608.04493

    Verified against: a loop by hand in NumPy
    """

    constraint = Spliceable

    def __init__(
        self,
        strength: float = 0.0,
        margin: Annotated[float, Interval(ge=0, lt=1)] = 0.1,
        begin: Moment = 0,
        end: Moment = 1000,
        every: EveryCount = 100,
        include: Pattern | None = None,
        exclude: Pattern | None = None,
    ):
        super().__init__(begin, end, every, include, exclude)
        self.strength = strength
        self.margin = margin

    def weights_of(self, variable: Any, constraint: Any) -> Any:
        """The dense weights."""
        return constraint.dense

    def mask_of(self, weights: np.ndarray, mask: np.ndarray, step: int) -> np.ndarray:
        """Prunes below the lower threshold and splices above the upper one."""
        size = np.abs(weights)
        threshold = max(size.mean() + self.strength * size.std(), 0.0)
        keep = np.where(size < (1 - self.margin) * threshold, False, mask)
        return np.where(size >= (1 + self.margin) * threshold, True, keep)
