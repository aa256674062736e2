"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, Positive, PositiveInt
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.axes import join, joint_shape, outer, scale_free, split, times
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import UNSET, Slot
from keras_gdx.registry import register

__all__ = ["SOAP"]

NEGLIGIBLE = 1e-6  # an eigenvalue that float32 cannot distinguish from zero, next to 1


@register
class SOAP(Optimizer):
    r"""Adam in the eigenbasis of Shampoo's preconditioner: second order, at a moderate cost.

    $$L \leftarrow \beta_2 L + (1-\beta_2)\, g g^\top, \qquad
      R \leftarrow \beta_2 R + (1-\beta_2)\, g^\top g, \qquad
      m \leftarrow \beta_1 m + (1-\beta_1)\, g$$
    $$v \leftarrow \beta_2 v + (1-\beta_2)\, (Q_L^\top g\, Q_R)^2, \qquad
      u = Q_L \frac{\hat m}{\sqrt{\hat v} + \hat\epsilon} Q_R^\top, \qquad
      \hat m = \frac{Q_L^\top m\, Q_R}{1 - \beta_1^t}$$

    $Q_L$ and $Q_R$ are orthogonal bases close to the eigenvectors of $L$ and $R$: the first update
    computes them and does not change the weights; then one power iteration with a QR decomposition
    brings them up to date in every `precondition_frequency` updates. A tensor of more axes, such as
    the kernel of a convolution, has a basis for each axis; vectors and scalars are updated by Adam.

    Use it for transformers and convolutional networks with large batches. An update of a matrix of
    $a \times b$ takes about $8ab(a+b)$ operations, and the bases another $5(a^3+b^3)$. Embeddings
    and output layers that are thousands of entries long need a smaller `max_precondition_dim`.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment and of the
            preconditioner.
        precondition_frequency: Integer >= 1: updates between two computations of the bases.
        max_precondition_dim: Integer >= 1: longer axes keep the identity as their basis.
        epsilon: Number > 0 or schedule, added outside the root, before the correction of bias:
            $\hat\epsilon = \epsilon / \sqrt{1 - \beta_2^t}$.
        **kwargs: The options of `Optimizer`.

    Memory: 24 bytes per parameter of a square matrix: 8 (`momentum`, `velocity`), and 8 per entry
        of $L$ and $R$ (`statistics`, `basis`), which `state_dtype` does not change.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.SOAP(3e-3, weight_decay=0.01)

    Source: arXiv:2409.11321, Vyas et al. 2024
    Verified against: pytorch_optimizer 4.1.0 SOAP, NumPy
    """

    elementwise = False
    decomposes = True

    def __init__(
        self,
        learning_rate: LearningRate = 3e-3,
        *,
        beta_1: DecayRate = 0.95,
        beta_2: DecayRate = 0.95,
        precondition_frequency: PositiveInt = 10,
        max_precondition_dim: PositiveInt = 10000,
        epsilon: Positive = 1e-8,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.precondition_frequency = precondition_frequency
        self.max_precondition_dim = max_precondition_dim
        self.epsilon = epsilon

    @property
    def slots(self):
        """Adam's moments, and a square matrix for each axis that has a basis."""

        def bases(shape):
            return joint_shape(_shapes(shape, self.max_precondition_dim))

        return (
            "momentum",
            Slot("velocity", signed=False),
            Slot("statistics", shape=bases, exact=True),
            Slot("basis", shape=bases, init=UNSET, exact=True),
        )

    def prepare(self, h):
        before = h.t - 1
        t = ops.maximum(before, 1)
        every = ops.cast(before, "int32") % h.precondition_frequency == 0
        return {
            "moves": ops.cast(before > 0, h.t.dtype),
            "due": every & (before > 0),
            "correction": ops.sqrt(bias_correction(h.beta_2, t)) / bias_correction(h.beta_1, t),
        }

    def workspace(self, size, slots):
        """The products of the gradient, and the new statistics."""
        return 2 * slots["basis"]

    def direction(self, h, g, w, m, v, statistics, basis):
        shapes = _shapes(w.shape, h.max_precondition_dim)
        products = {axis: outer(g, axis) for axis in shapes}
        if shapes:
            first = ops.isnan(basis[0])
            basis = ops.cond(
                first, lambda: join(map(_eigenbasis, products.values())), lambda: basis
            )
        q = split(basis, shapes)
        g = h.moves * g
        m = ema(m, g, h.beta_1)
        v = ema(v, ops.square(times(g, q)), h.beta_2)
        u = times(times(m, q) / (ops.sqrt(v) + h.epsilon), q, transposed=True)
        if shapes:
            old = split(statistics, shapes)
            new = {axis: ema(old[axis], products[axis], h.beta_2) for axis in shapes}
            statistics = join(new.values())
            v, basis = ops.cond(h.due, lambda: _refreshed(v, new, q), lambda: (v, basis))
        return h.correction * u, m, v, statistics, basis

    def decayed(self, h, w, u):
        """The first update does not change the weights."""
        decay = self.effective_decay(h, w, u)
        return u if decay is None else u + h.moves * decay * w


def _shapes(shape, longest):
    """The shapes of the bases, by axis."""
    many = len(shape) > 1
    return {axis: (n, n) for axis, n in enumerate(shape) if many and n <= longest}


def _eigenbasis(matrix):
    """The eigenvectors, by descending eigenvalues.

    A first gradient of low rank leaves the vectors of the eigenvalue zero open. They are completed
    from unit vectors: any solver's choice would depend on rounding, and so on the replicas.
    """
    values, vectors = (ops.flip(x, axis=-1) for x in ops.eigh(scale_free(matrix)))
    size = matrix.shape[0]
    known = values > NEGLIGIBLE * values[0]
    number = ops.arange(size, dtype="int32") - ops.sum(ops.cast(known, "int32"))
    units = ops.one_hot(number, size, axis=0, dtype=matrix.dtype)
    return ops.qr(ops.where(known, vectors, units))[0]


def _refreshed(v, statistics, bases):
    """One power iteration of each basis; `v` follows the new order of the basis vectors.

    Vectors of the eigenvalue zero stay, because their products are nothing but rounding errors.
    """
    new = []
    for axis, q in bases.items():
        product = ops.matmul(scale_free(statistics[axis]), q)
        values = ops.sum(q * product, axis=0)
        product = ops.where(values > NEGLIGIBLE * ops.max(values), product, q)
        order = ops.argsort(-values)
        v = ops.take(v, order, axis=axis)
        new.append(ops.qr(ops.take(product, order, axis=1))[0])
    return v, join(new)
