"""Gradual magnitude pruning."""

from typing import Annotated

import numpy as np
from annotated_types import Interval

from keras_gdx.callbacks._lib.amount import EveryCount, Moment
from keras_gdx.callbacks._lib.argument_types import Pattern
from keras_gdx.callbacks._lib.masks import Pruning
from keras_gdx.registry import register

__all__ = ["MagnitudePruning"]


@register
class MagnitudePruning(Pruning):
    r"""Sets the smallest weights of each kernel to zero, increasingly many over time.

    After $t$ steps (batches), between `begin` ($t_0$) and `end` ($t_1$), the fraction

    $$s(t) = s \left(1 - \left(1 - \frac{t - t_0}{t_1 - t_0}\right)^3\right)$$

    of every kernel is zero. Updates keep these weights at zero until the masks are recomputed,
    by magnitude. After `end` the masks are fixed, also in a later `fit` of the compiled model
    without this callback. The logs have `sparsity`, the fraction of zeros over all kernels. A
    mask needs one byte per weight.

    Args:
        sparsity: Number in (0, 1), the final fraction of zeros.
        begin: Steps (batches) before the first weight is pruned, or an amount such as
            `"2 epochs"`.
        end: Steps until `sparsity` is reached, more than `begin`, or an amount as in `begin`.
        every: Steps between two mask updates, or an amount such as `"1 epoch"`.
        include: Regular expression, searched for in the paths of trainable variables. `None`:
            kernels and embeddings.
        exclude: Regular expression for variables that are not pruned.

    Raises:
        ValueError: If an argument is out of range; when `fit` begins, if no variable is left,
            or, in a `TrainingLoop`, if the optimizer is built already.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import MagnitudePruning
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((64, 8)), np.ones((64, 10))
        >>> callback = MagnitudePruning(0.75, end="12 steps", every="4 steps")
        >>> history = model.fit(x, y, batch_size=4, verbose=0, callbacks=[callback])
        >>> int(np.sum(model.layers[0].kernel.numpy() == 0)), history.history["sparsity"]
        (60, [0.75])

    Source: arXiv:1710.01878

    Verified against: a loop by hand in NumPy
    """

    def __init__(
        self,
        sparsity: Annotated[float, Interval(gt=0, lt=1)] = 0.5,
        begin: Moment = 0,
        end: Moment = 1000,
        every: EveryCount = 100,
        include: Pattern | None = None,
        exclude: Pattern | None = None,
    ):
        super().__init__(begin, end, every, include, exclude)
        self.sparsity = sparsity

    def mask_of(self, weights: np.ndarray, mask: np.ndarray, step: int) -> np.ndarray:
        """Masks the smallest weights, to the sparsity of this step."""
        left = 1 - (min(step, self._last) - self._first) / (self._last - self._first)
        count = round(self.sparsity * (1 - left**3) * weights.size)
        smallest = np.argsort(np.abs(weights), axis=None, kind="stable")[:count]
        keep = np.ones(weights.size, bool)
        keep[smallest] = False
        return keep.reshape(weights.shape)
