"""The functions that update rules are written with."""

from collections.abc import Iterable, Sequence
from math import prod

from keras import ops

from keras_gdx.arguments import Tensor
from keras_gdx.backends import backend


def ema(old: Tensor, new: Tensor, beta: Tensor) -> Tensor:
    """Exponential moving average: `beta * old + (1 - beta) * new`."""
    return old + (new - old) * (1 - beta)


def started(old: Tensor, first: Tensor) -> Tensor:
    """`old`, or `first` where `old` is still `UNSET`."""
    return ops.where(ops.isnan(old), first, old)


def bias_correction(beta: Tensor, t: Tensor) -> Tensor:
    """`1 - beta**t`: the divisor of a moving average that started at zero, after `t` updates.

    This form keeps its precision for `beta` near 1 and small `t`.
    """
    return -ops.expm1(t * log(beta))


def log(beta: Tensor) -> Tensor:
    """The natural logarithm of a decay rate, precise for `beta` near 1."""
    return ops.log1p(-(1 - beta))


def norm(*tensors: Tensor) -> Tensor:
    """Euclidean norm of all entries of all tensors."""
    return ops.sqrt(sum(backend.energy(x) for x in tensors))


def rms(x: Tensor) -> Tensor:
    """Root of the mean square of all entries."""
    return ops.sqrt(backend.energy(x) / prod(x.shape))


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """`a / b` for norms, and 1 where either is zero."""
    both = (a > 0) & (b > 0)
    return ops.where(both, a / ops.where(both, b, 1.0), 1.0)


def inverse_root(row: Tensor, column: Tensor) -> Tensor:
    """`1 / sqrt(V)` of the second moment with these means over its last and last but one axis."""
    share = row / ops.mean(row, axis=-1, keepdims=True)
    return 1 / (ops.sqrt(share)[..., None] * ops.sqrt(column)[..., None, :])


def orthogonalize(m: Tensor, polynomials: Iterable[Sequence[float]], margin: float = 1.0) -> Tensor:
    """Moves all singular values of the matrix `m` close to 1 by quintic Newton-Schulz iteration.

    Args:
        m: The matrix.
        polynomials: The three coefficients of the polynomial of each iteration.
        margin: The iteration starts from `m / (margin * norm(m))`.

    Source: Jordan 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    wide = m.shape[-2] <= m.shape[-1]
    x = m if wide else ops.transpose(m)
    x = x / ops.maximum(margin * norm(x), 1e-7)
    for a, b, c in polynomials:
        gram = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * gram + c * ops.matmul(gram, gram), x)
    return x if wide else ops.transpose(x)
