"""Penalty on the Jacobian of the outputs with respect to the inputs."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveInt, check
from keras_gdx.registry import register
from keras_gdx.regularizers.step_penalty import StepPenalty

__all__ = ["JacobianPenalty"]


@register
class JacobianPenalty(StepPenalty):
    r"""Penalizes the Jacobian of the outputs with respect to the inputs.

    $$R = \frac{\lambda}{2 N} \sum_{n=1}^N \lVert J_n \rVert_F^2, \qquad
      J_n = \frac{\partial f(x_n)}{\partial x_n}$$

    with $f$ all outputs of the model, $C$ numbers per example; the targets are not used. It is
    estimated by random projections: $\lVert J \rVert_F^2 = C \, \mathrm{E} \lVert \hat v^\top J
    \rVert_2^2$ for random unit vectors $\hat v$, one for each example. They depend on the number
    of the batch only, so a resumed run draws the same ones. Attach it with
    `apply(model, JacobianPenalty(0.01))`.

    The paper penalizes logits: let the model return them, with `from_logits=True` in the loss.
    The model runs in inference mode, without dropout and with the moving averages of
    `BatchNormalization`; sample weights are ignored. A step costs a second forward pass, its
    gradient with respect to the inputs for each projection, and the gradient of that.

    Args:
        factor: Number >= 0, the strength $\lambda$.
        projections: Integer >= 1, projections per example and step, each a backward pass. `None`:
            one for each of the $C$ outputs, which is exact and suits few outputs.

    Raises:
        ValueError: If an argument is outside its range, the backend is not TensorFlow, or, in the
            first step, no input is floating-point.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx import regularizers
        >>> dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((3,)), dense])
        >>> model.compile("sgd", "mse")
        >>> regularizer = regularizers.JacobianPenalty(0.5, projections=None)
        >>> regularizers.apply(model, regularizer)
        []
        >>> print(model.train_on_batch(np.zeros((4, 3)), np.zeros((4, 2))))  # 0.5 / 2 * 6
        1.5

    Source: arXiv:1908.02729, Hoffman 2019

    Verified against: closed form in NumPy
    """

    def __init__(self, factor: NonNegativeFloat = 0.01, projections: PositiveInt | None = 1):
        super().__init__(factor)
        self.projections = projections

    def value(self, step):
        """Half the mean of the squared norms, before multiplication by `factor`."""
        if self.projections is None:
            squares = ops.sum(step.by_outputs(_each), axis=0)
        else:
            squares = ops.mean(step.by_outputs(lambda *shape: self._drawn(step, shape)), axis=0)
        return 0.5 * step.mean(squares)

    def _drawn(self, step, shape):
        """Random vectors, scaled so that the squared projections are unbiased."""
        found = step.normal((self.projections, *shape))
        lengths = ops.sqrt(ops.sum(ops.square(found), axis=-1, keepdims=True))
        return ops.unstack(found / lengths * ops.sqrt(ops.cast(shape[1], found.dtype)), axis=0)


def _each(examples, outputs):
    """The unit vectors of all outputs, one after the other."""
    check(isinstance(outputs, int), "projections", None, "an integer if outputs vary in size")
    for row in ops.split(ops.eye(outputs), outputs):
        yield ops.broadcast_to(row, (examples, outputs))
