"""Soft thresholding."""

import keras
from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.config import Configured
from keras_gdx.registry import register

__all__ = ["SoftThreshold"]


@register
class SoftThreshold(Configured, keras.constraints.Constraint):
    r"""Moves every weight towards zero by a fixed amount, and stops at zero.

    $$w \leftarrow \operatorname{sign}(w) \max(|w| - \tau, 0)$$

    This is the proximal step of L1: after a gradient step with learning rate $\eta$ it is the
    exact step for the penalty $\lambda \sum |w|$ if $\tau = \eta \lambda$. Unlike the penalty's
    gradient it produces exact zeros. The optimizers of this package apply it once per update,
    identically on every replica.

    Args:
        threshold: Number >= 0, $\tau$: absolute, per update; not multiplied by the learning rate.

    Raises:
        ValueError: If `threshold` is negative.

    Example:
        >>> from keras_gdx.constraints import SoftThreshold
        >>> constraint = SoftThreshold(0.5)
        >>> print(constraint([2.0, -1.0, 0.25]).numpy())
        [ 1.5 -0.5  0. ]

    Source: Daubechies 2004, Comm. Pure Appl. Math. 57(11)

    Verified against: closed form in NumPy
    """

    def __init__(self, threshold: NonNegativeFloat = 1e-5):
        self.threshold = threshold

    def __call__(self, w):
        w = ops.convert_to_tensor(w)
        return ops.sign(w) * ops.maximum(ops.abs(w) - self.threshold, 0.0)
