"""Conditional gradient (Frank-Wolfe)."""

from collections.abc import Callable
from math import prod
from typing import Any, Literal, Unpack

from keras import ops

from keras_gdx.arguments import Fraction, NonNegative
from keras_gdx.math import norm
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.registry import register

__all__ = ["ConditionalGradient"]

SQUARINGS = 16  # enough for singular values that float32 can tell apart
TINY = 1e-30


@register
class ConditionalGradient(Optimizer):
    r"""Frank-Wolfe: keeps each variable inside a ball, by steps towards its boundary.

    $$w \leftarrow \eta w - (1 - \eta)\, \lambda s, \qquad
      s = \frac{g}{\lVert g \rVert + 10^{-7}} \;\text{ or }\; u_1 v_1^\top$$

    with $u_1, v_1$ the first singular vectors of $g$ as a matrix (inputs, outputs). So $-\lambda
    s$ is the point of the ball of radius $\lambda$ in which the linearized loss is smallest, in
    the Frobenius or in the nuclear norm; the latter keeps kernels of low rank. The learning rate
    is what remains of the weights, as in TensorFlow Addons: 1 changes nothing, and schedules rise
    towards it. Use it for constraints; it trains more slowly than Adam.

    Args:
        learning_rate: Number in [0, 1] or schedule, $\eta$; see `Optimizer`, as for all options
            not named here. `lr_multipliers` scale $1 - \eta$.
        lambda_: Number >= 0 or schedule, $\lambda$: the radius of the ball.
        ord: The norm: `"fro"`, or `"nuclear"`, which needs 16 products of the smaller Gram matrix
            of each kernel in every update.
        **kwargs: The options of `Optimizer`. `weight_decay` is multiplied by $1 - \eta$.

    Memory: none.

    Example:
        >>> import keras, keras_gdx
        >>> w = keras.Variable([0.0, 2.0])
        >>> keras_gdx.optimizers.ConditionalGradient(0.5, lambda_=10.0).apply([[3.0, -4.0]], [w])
        >>> w.numpy()
        array([-3.,  5.], dtype=float32)

    Source: arXiv:1803.06453, Ravi et al. 2018; Frank and Wolfe 1956
    Verified against: NumPy
    """

    elementwise = False

    def __init__(
        self,
        learning_rate: Fraction | Callable[[], Any] = 0.99,
        *,
        lambda_: NonNegative = 10.0,
        ord: Literal["fro", "nuclear"] = "fro",
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.lambda_ = lambda_
        self.ord = ord

    def prepare(self, h):
        return {"share": 1 - h.lr}

    def direction(self, h, g, w):
        s = g / (norm(g) + 1e-7) if h.ord == "fro" else _first_singular(g, w.shape)
        return w + h.lambda_ * s

    def descend(self, h, w, u):
        return (w - h.multiplier * h.share * u,)


def _first_singular(g, shape):
    """The product of the first singular vectors of a kernel; 0 if the kernel is 0.

    Repeated squaring leaves the projection on the largest ones of the Gram matrix. Divided by its
    trace, it is their mean if several are equal, which is in the ball too.
    """
    columns = shape[-1] if len(shape) > 1 else 1
    wide = prod(shape) <= columns * columns
    x = ops.reshape(g, (-1, columns))
    x = x / ops.maximum(ops.max(ops.abs(x)), TINY)
    x = x if wide else ops.transpose(x)
    p = gram = ops.matmul(x, ops.transpose(x))
    for _ in range(SQUARINGS):
        p = ops.matmul(p, p)
        p = p / ops.maximum(ops.trace(p), TINY)
    s = ops.matmul(p, x) / ops.sqrt(ops.maximum(ops.sum(p * gram), TINY))
    return ops.reshape(s if wide else ops.transpose(s), shape)
