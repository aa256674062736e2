"""Kron: gradient descent with a Kronecker-factored preconditioner that whitens the gradient."""

import math
from typing import Unpack

from keras import ops

from keras_gdx.arguments import (
    DecayRate,
    Fraction,
    LearningRate,
    NonNegativeInt,
    needs_tensorflow,
)
from keras_gdx.backends import backend
from keras_gdx.math import bias_correction, ema, norm, rms, started
from keras_gdx.optimizers.axes import (
    broadcast,
    is_diagonal,
    join,
    joint_shape,
    outer,
    split,
    squared_norms,
    times,
)
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import UNSET, Slot
from keras_gdx.registry import register
from keras_gdx.schedules import Exponential

__all__ = ["Kron"]

OFTEN_AT_FIRST = Exponential(1.0, 1000, math.exp(-1)).shift(500).clip(0.03, 1.0)
STEP = 0.1  # of the preconditioner, relative to the largest step that keeps it positive
LARGEST_RMS = 1.1  # of the direction: whitened gradients have 1
NEGLIGIBLE = 1e-30  # a momentum so small that a preconditioner for it would overflow


@register
class Kron(Optimizer):
    r"""Momentum, whitened by a triangular factor for each axis of a tensor (PSGD).

    $$m \leftarrow \mu m + (1-\mu)\, g, \qquad \hat m = \frac{m}{1-\mu^t}, \qquad
      A = Q_L \hat m\, Q_R^\top, \qquad B = Q_L^{-\top} V Q_R^{-1}, \qquad V \sim \mathcal N(0, 1)$$
    $$Q_L \leftarrow Q_L - 0.1\, \frac{\operatorname{triu}(A A^\top - B B^\top)}
      {\lVert A A^\top + B B^\top \rVert_2}\, Q_L, \qquad
      u = Q_L^\top Q_L\, \hat m\, Q_R^\top Q_R, \qquad
      u \leftarrow \min\!\Bigl(1, \frac{1.1}{\operatorname{rms}(u)}\Bigr)\, u$$

    and $Q_R$ likewise with $A^\top$ and $B^\top$. The triangular factors begin as identities, and
    become such that $u$ has the covariance of white noise. A tensor of more axes, such as the
    kernel of a convolution, has a factor for each axis; axes that are too long, and vectors and
    scalars, have a diagonal one. $V$ is a function of $t$ and of the variable's number in the
    optimizer: it is the same on every replica and when training is resumed. The norm
    $\lVert\cdot\rVert_2$ is estimated from below, as in the authors' code. TensorFlow only.

    Use it for transformers and other large matrices, where steps are worth their costs. An update
    of a matrix of $a \times b$ takes about $4ab(a+b)$ operations, and the factors, when they are
    updated, another $7ab(a+b) + 2(a^3+b^3)$. It suits tables less well: an axis with one index per
    word or item should be longer than `max_size_triangular`.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        update_probability: Number in [0, 1] or schedule: share of the updates that update the
            factors too, at regular intervals. The default is 1 for 500 updates and then falls
            exponentially, by a factor of e per 1000 updates, to 0.03.
        max_size_triangular: Integer >= 0: longer axes have a diagonal factor.
        **kwargs: The options of `Optimizer`.

    Memory: 12 bytes per parameter of a square matrix: 4 (`momentum`), and 4 per entry of $Q_L$
        and $Q_R$ (`factors`), which `state_dtype` does not change.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Kron(3e-4, weight_decay=0.1)

    Source: arXiv:1512.04202, Li 2015; arXiv:2402.04553, Pooladzandi and Li 2024
    Verified against: pytorch_optimizer 4.1.0 Kron (its decay leaves out vectors and scalars), NumPy
    """

    elementwise = False
    shared = ("waited",)

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        momentum: DecayRate = 0.9,
        update_probability: Fraction = OFTEN_AT_FIRST,
        max_size_triangular: NonNegativeInt = 8192,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        needs_tensorflow("Kron")
        self.momentum = momentum
        self.update_probability = update_probability
        self.max_size_triangular = max_size_triangular

    @property
    def slots(self):
        """The momentum, and the factors one after another."""

        def shape(of):
            return joint_shape(_shapes(of, self.max_size_triangular))

        return "momentum", Slot("factors", shape=shape, init=UNSET, exact=True)

    def prepare(self, h):
        return {"correction": bias_correction(h.momentum, h.t)}

    def global_stats(self, h, model, waited):
        """Counts the updates since the factors were updated."""
        due = ops.cast(waited + 1 >= 1 / h.update_probability, waited.dtype)
        return {"due": due}, (1 - due) * (waited + 1)

    def workspace(self, size, slots):
        """Two products, a change and a new value of each factor, and the noise."""
        return 4 * slots["factors"] + size

    def direction(self, h, g, w, m, factors):
        shapes = _shapes(w.shape, h.max_size_triangular)
        factors = started(factors, join(_identity(s, w.dtype) for s in shapes.values()))
        m = ema(m, g, h.momentum)
        x = ops.reshape(m / h.correction, tuple(w.shape) or (1,))

        def updated():
            v = ops.cast(backend.normal(x.shape, 0, h.t, h.index), x.dtype)
            return join(_balanced(_whitening(split(factors, shapes), x, v)))

        due = (h.due > 0) & (ops.max(ops.abs(x)) > NEGLIGIBLE)
        factors = ops.cond(due, updated, lambda: factors)
        q = split(factors, shapes)
        u = times(times(x, q, transposed=True), q)
        u = u * ops.minimum(LARGEST_RMS / (rms(u) + 1e-6), 1)
        return ops.reshape(u, w.shape), m, factors


def _shapes(shape, longest):
    """The shapes of the factors, by axis; a scalar is a vector with one entry."""
    return {
        axis: (n, n) if len(shape) > 1 and 1 < n <= longest else (n,)
        for axis, n in enumerate(tuple(shape) or (1,))
    }


def _identity(shape, dtype):
    return ops.ones(shape, dtype) if len(shape) == 1 else ops.eye(shape[0], dtype=dtype)


def _whitening(q, x, v):
    """The factors after one step towards those that whiten `x`, with the noise `v`."""
    a, b = times(x, q, transposed=True), _solved(v, q)
    largest = ops.maximum(ops.max(ops.abs(a)), ops.max(ops.abs(b)))
    a, b = a / largest, b / largest  # the step depends on their ratio only
    new = []
    for axis, factor in q.items():
        if is_diagonal(factor):
            of_a, of_b = squared_norms(a, axis), squared_norms(b, axis)
            change = (of_a - of_b) * factor / ops.max(of_a + of_b)
        else:
            of_a, of_b = outer(a, axis), outer(b, axis)
            change = ops.triu(of_a - of_b) @ factor / _spectral_norm(of_a + of_b)
        new.append(factor - STEP * change)
    return new


def _solved(x, factors):
    """`x` multiplied by the inverse of a factor along each axis: `times` with `inv(factor)`."""
    for axis, factor in factors.items():
        if is_diagonal(factor):
            x = x / broadcast(factor, x, axis)
        else:
            first = ops.moveaxis(x, axis, 0)
            columns = ops.reshape(first, (first.shape[0], -1))
            columns = ops.solve_triangular(ops.transpose(factor), columns, lower=True)
            x = ops.moveaxis(ops.reshape(columns, first.shape), 0, axis)
    return x


def _spectral_norm(matrix):
    """A lower bound of the largest eigenvalue, from its column of the largest norm."""
    largest = ops.max(ops.abs(matrix))
    matrix = matrix / largest
    longest = ops.argmax(ops.sum(matrix * matrix, axis=0))
    column = ops.matmul(matrix, ops.take(matrix, longest, axis=0))
    return largest * norm(ops.matmul(matrix, column)) / norm(column)


def _balanced(factors):
    """The factors with equal largest entries, and the same product, so that none overflows."""
    logs = [ops.log(ops.max(ops.abs(factor))) for factor in factors]
    mean = sum(logs) / len(logs)
    return [factor * ops.exp(mean - log) for factor, log in zip(factors, logs, strict=True)]
