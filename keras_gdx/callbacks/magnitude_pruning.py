"""Gradual magnitude pruning."""

import numpy as np

from keras_gdx.callbacks._lib.masks import Pruning
from keras_gdx.config import check_number
from keras_gdx.registry import register

__all__ = ["MagnitudePruning"]


@register
class MagnitudePruning(Pruning):
    r"""Sets the smallest weights of each kernel to zero, increasingly many over time.

    After $t$ batches, between `begin` ($t_0$) and `end` ($t_1$), the fraction

    $$s(t) = s \left(1 - \left(1 - \frac{t - t_0}{t_1 - t_0}\right)^3\right)$$

    of every kernel is zero. Updates keep these weights at zero until the masks are recomputed,
    by magnitude. After `end` the masks are fixed, also in a later `fit` of the compiled model
    without this callback. The logs have `sparsity`, the fraction of zeros over all kernels. A
    mask needs one byte per weight.

    Args:
        sparsity: Number in (0, 1), the final fraction of zeros.
        begin: Integer >= 0, batches before the first weight is pruned.
        end: Integer > `begin`, batches until `sparsity` is reached.
        every: Integer >= 1, batches between two mask updates.
        include: Regular expression, searched for in the paths of trainable variables. `None`:
            kernels and embeddings.
        exclude: Regular expression for variables that are not pruned.

    Raises:
        ValueError: If an argument is out of range; when `fit` begins, if no variable is left,
            the model is not built, or its optimizer was used without this callback.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import MagnitudePruning
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((64, 8)), np.ones((64, 10))
        >>> prune = MagnitudePruning(0.75, end=12, every=4)
        >>> history = model.fit(x, y, batch_size=4, verbose=0, callbacks=[prune])
        >>> int(np.sum(model.layers[0].kernel.numpy() == 0)), history.history["sparsity"]
        (60, [0.75])

    Source: 1710.01878

    Verified against: a loop by hand in NumPy
    """

    def __init__(self, sparsity=0.5, begin=0, end=1000, every=100, include=None, exclude=None):
        super().__init__(begin, end, every, include, exclude)
        check_number("sparsity", sparsity, 0, 1, open_low=True, open_high=True)
        self.sparsity = sparsity

    def mask_of(self, weights, mask, step):
        """Masks the smallest weights, to the sparsity of this step."""
        left = 1 - (min(step, self.end) - self.begin) / (self.end - self.begin)
        count = round(self.sparsity * (1 - left**3) * weights.size)
        smallest = np.argsort(np.abs(weights), axis=None, kind="stable")[:count]
        keep = np.ones(weights.size, bool)
        keep[smallest] = False
        return keep.reshape(weights.shape)
