"""Dynamic network surgery: pruning that can restore weights."""

import keras
import numpy as np
from keras import ops

from keras_gdx.callbacks._lib.masks import Masked, Pruning
from keras_gdx.config import check_number
from keras_gdx.registry import register

__all__ = ["DynamicSurgery"]


class Spliceable(Masked):
    """Stores dense weights behind the mask, which are updated even where pruned."""

    def __init__(self, variable):
        super().__init__(variable)
        self.dense = keras.Variable(ops.convert_to_numpy(variable), trainable=False,
                                    dtype=variable.dtype)  # fmt: skip

    @property
    def variables(self):
        return [self.mask, self.dense]

    def __call__(self, w):
        mask = ops.cast(self.mask, w.dtype)
        dense = ops.cast(self.dense, w.dtype)
        dense = dense + (w - dense * mask)  # the update was applied to `dense * mask`
        dense = dense if self.inner is None else self.inner(dense)
        self.dense.assign(ops.cast(dense, self.dense.dtype))
        return dense * mask

    def renew(self, variable, mask):
        self.mask.assign(mask)
        variable.assign(self.dense * ops.cast(self.mask, self.dense.dtype))

    def begin(self, variable):
        super().begin(variable)
        self.dense.assign(ops.convert_to_tensor(variable))


@register
class DynamicSurgery(Pruning):
    r"""Prunes small weights, and restores (splices) them when they have grown.

    The model uses $w = \tilde w \odot m$; updates are applied to the dense weights $\tilde w$,
    pruned or not, so a weight that was pruned by mistake can return. Every `every` batches, for
    each kernel,

    $$m = \begin{cases} 0 & |\tilde w| < (1 - \delta) \tau \\
                        1 & |\tilde w| \ge (1 + \delta) \tau \\
                        m & \text{between} \end{cases}
      \qquad \tau = \max(\mu + c \sigma, 0)$$

    with mean $\mu$ and standard deviation $\sigma$ of $|\tilde w|$. After `end` the masks are
    fixed. The logs have `sparsity`. Memory: one byte and one dense weight per weight.

    Args:
        strength: Number, $c$: larger values prune more; may be negative.
        margin: Number in [0, 1), $\delta$: gap between the pruning and splicing thresholds.
        begin: Integer >= 0, batches before the first change.
        end: Integer > `begin`, batches after which masks are fixed.
        every: Integer >= 1, batches between two changes.
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
        >>> surgery = DynamicSurgery(0.0, end=12, every=4)
        >>> history = model.fit(x, y, batch_size=4, verbose=0, callbacks=[surgery])
        >>> 0.2 < history.history["sparsity"][0] < 0.8
        True

    Source: 1608.04493

    Verified against: a loop by hand in NumPy
    """

    constraint = Spliceable

    def __init__(
        self, strength=0.0, margin=0.1, begin=0, end=1000, every=100, include=None, exclude=None
    ):
        super().__init__(begin, end, every, include, exclude)
        check_number("strength", strength)
        check_number("margin", margin, 0, 1, open_high=True)
        self.strength = strength
        self.margin = margin

    def weights_of(self, variable, constraint):
        """The dense weights."""
        return constraint.dense

    def mask_of(self, weights, mask, step):
        """Prunes below the lower threshold and splices above the upper one."""
        size = np.abs(weights)
        threshold = max(size.mean() + self.strength * size.std(), 0.0)
        keep = np.where(size < (1 - self.margin) * threshold, False, mask)
        return np.where(size >= (1 + self.margin) * threshold, True, keep)
