"""Shampoo: a preconditioner for the rows and one for the columns of a matrix."""

from typing import Literal, Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, Positive, PositiveInt
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.axes import scale_free
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import UNSET, Slot
from keras_gdx.registry import register

__all__ = ["Shampoo"]


@register
class Shampoo(Optimizer):
    r"""Second order for matrices: a preconditioner for the rows and one for the columns.

    $$L \leftarrow \beta_2 L + (1-\beta_2)\, g g^\top, \qquad
      R \leftarrow \beta_2 R + (1-\beta_2)\, g^\top g, \qquad
      m \leftarrow \beta_1 m + (1-\beta_1)\, g$$
    $$s = \tilde L^{-1/4}\, m\, \tilde R^{-1/4}, \qquad
      u = \frac{\lVert p \rVert}{\lVert s \rVert}\, s, \qquad
      \tilde L = L + \epsilon\, \lambda_{\max}(L)\, I$$

    The step has the direction of Shampoo and the norm of another rule's step $p$ (grafting), so
    learning rates that suit that rule suit this one. Kernels are reshaped to (inputs, outputs) as
    in `Muon`, and cut into blocks that are updated as if they were separate matrices. Vectors and
    scalars take the step $p$, and so does every variable in its first update: the roots are
    computed after it, and then once in `precondition_frequency` updates. Unlike in these papers,
    $\epsilon$ is relative to the largest eigenvalue, so that the size of gradients does not matter.

    Use it for large batches, where its steps are worth their costs. An update of a block of
    $a \times b$ takes about $4ab(a+b)$ operations, and the roots another $12(a^3+b^3)$. On a CPU,
    compile the model with `jit_compile=False`, Keras' default there: XLA takes up to 90 times as
    long for the roots as TensorFlow does.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the preconditioners, and of the second
            moment of Adam.
        precondition_frequency: Integer >= 1: updates between two computations of the roots.
        block_size: Integer >= 1: longer sides of a matrix are cut into blocks of this length.
        grafting: Rule whose step $p$ is: `"adam"`, with an epsilon of 1e-8, or `"sgd"`, the
            momentum divided by $1 - \beta_1^t$.
        matrix_epsilon: Number > 0 or schedule, $\epsilon$.
        **kwargs: The options of `Optimizer`.

    Memory: 24 bytes per parameter of a square matrix: 8 (`momentum`, `velocity`), and 8 per entry
        of $L$ and $R$ (`left`, `right` and their roots), which `state_dtype` does not change.
        Sides longer than `block_size` count as the next multiple of it.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Shampoo(1e-3, weight_decay=0.01)

    Source: arXiv:1802.09568, Gupta et al. 2018; grafting and blocks: arXiv:2309.06497
    Verified against: NumPy
    """

    elementwise = False
    decomposes = True

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        precondition_frequency: PositiveInt = 10,
        block_size: PositiveInt = 1024,
        grafting: Literal["adam", "sgd"] = "adam",
        matrix_epsilon: Positive = 1e-6,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.precondition_frequency = precondition_frequency
        self.block_size = block_size
        self.grafting = grafting
        self.matrix_epsilon = matrix_epsilon

    @property
    def slots(self):
        """The moments, and two square matrices per block with their inverse roots."""

        def squares(side):
            """The shape of one square matrix per block; vectors have none."""

            def shape(matrix):
                *grid, rows, columns = _grid(matrix, self.block_size)
                return (*grid, (rows, columns)[side], (rows, columns)[side])

            return lambda matrix: shape(matrix) if min(matrix) > 1 else None

        adam = self.grafting == "adam"
        return (
            "momentum",
            Slot("velocity", shape=lambda s: s if adam else None, signed=False),
            Slot("left", shape=squares(0), of_matrix=True, exact=True),
            Slot("right", shape=squares(1), of_matrix=True, exact=True),
            Slot("left_root", shape=squares(0), of_matrix=True, init=UNSET, exact=True),
            Slot("right_root", shape=squares(1), of_matrix=True, init=UNSET, exact=True),
        )

    def prepare(self, h):
        return {
            "correction_1": bias_correction(h.beta_1, h.t),
            "correction_2": bias_correction(h.beta_2, h.t),
            "due": (ops.cast(h.t, "int32") - 1) % h.precondition_frequency == 0,
        }

    def workspace(self, size, slots):
        """The products of the gradient, and its blocks."""
        return slots["left"] + slots["right"] + size

    def direction(self, h, g, w, m, v, left, right, left_root, right_root):
        m = ema(m, g, h.beta_1)
        p = m / h.correction_1
        if v is not None:
            v = ema(v, g * g, h.beta_2)
            p = p / (ops.sqrt(v / h.correction_2) + 1e-8)
        if left is None:
            return p, m, v, None, None, None, None
        shape = h.role.matrix_shape(w.shape)
        g, s, p = (_cut(x, shape, h.block_size) for x in (g, scale_free(m), p))
        s = left_root @ s @ right_root
        first = ops.isnan(left_root[0, 0, 0, 0])
        u = ops.where(first, p, s * (_norms(p) / ops.maximum(_norms(s), 1e-30)))
        left = ema(left, g @ _transposed(g), h.beta_2)
        right = ema(right, _transposed(g) @ g, h.beta_2)
        roots = ops.cond(
            first | h.due,
            lambda: tuple(_root(x, h.matrix_epsilon) for x in (left, right)),
            lambda: (left_root, right_root),
        )
        return ops.reshape(_joined(u, shape), w.shape), m, v, left, right, *roots


def _grid(matrix, block_size):
    """Numbers of blocks along both sides, and the shape of a block."""
    block = [min(n, block_size) for n in matrix]
    return (*(-(-n // size) for n, size in zip(matrix, block, strict=True)), *block)


def _cut(x, matrix, block_size):
    """Blocks of `x` reshaped to a matrix, filled up with zeros, along two new leading axes."""
    across, down, rows, columns = _grid(matrix, block_size)
    missing = [(0, across * rows - matrix[0]), (0, down * columns - matrix[1])]
    x = ops.pad(ops.reshape(x, matrix), missing)
    return ops.transpose(ops.reshape(x, (across, rows, down, columns)), (0, 2, 1, 3))


def _joined(blocks, matrix):
    """The matrix of which these are the blocks."""
    across, down, rows, columns = blocks.shape
    x = ops.reshape(ops.transpose(blocks, (0, 2, 1, 3)), (across * rows, down * columns))
    return x[: matrix[0], : matrix[1]]


def _transposed(blocks):
    return ops.swapaxes(blocks, -1, -2)


def _norms(blocks):
    """The norm of each block."""
    return ops.sqrt(ops.sum(ops.square(blocks), axis=(-1, -2), keepdims=True))


def _root(x, epsilon):
    """The inverse fourth root of each matrix, up to a factor; the identity for zero matrices."""
    values, vectors = ops.eigh(scale_free(x))
    largest = values[..., -1:]
    values = ops.maximum(values, 0) + epsilon * largest
    roots = ops.where(largest > 0, values, 1) ** -0.25
    return (vectors * roots[..., None, :]) @ _transposed(vectors)
