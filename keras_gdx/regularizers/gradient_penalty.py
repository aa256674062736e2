"""A loss that small changes of the input do not change."""

from keras_gdx.registry import register
from keras_gdx.regularizers.step_penalty import StepPenalty

__all__ = ["GradientPenalty"]


@register
class GradientPenalty(StepPenalty):
    r"""Keeps small how the loss of an example changes with its input: double backpropagation.

    $$R = \frac{\lambda}{N} \sum_{n=1}^N \left\lVert \frac{\partial \ell_n}{\partial x_n}
      \right\rVert_2^2$$

    with $\ell_n$ the loss of an example as `compile` and `sample_weight` have it, so that the
    loss of the batch is $\frac{1}{N} \sum_n \ell_n$. `apply(model, GradientPenalty(0.1))`
    attaches it; see there.

    It is meant for inputs of continuous numbers. The example is seen as in prediction, without
    dropout and with the moving averages of `BatchNormalization`. A step costs a second pass
    through the model, its gradient by the inputs, and the gradient of that.

    Args:
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If `factor` is negative, the backend is not TensorFlow, or, in the first step,
            no input is of floating point numbers, or the loss is no mean over the examples.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx import regularizers
        >>> dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((2,)), dense])
        >>> model.compile("sgd", "mse")
        >>> regularizer = regularizers.GradientPenalty(0.5)
        >>> regularizers.apply(model, regularizer)
        []
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))  # loss (2 - 1)**2, gradient (2, 2)
        >>> print(model.train_on_batch(x, y))  # 1 + 0.5 * (4 + 4)
        5.0

    Source: Drucker and LeCun 1992; arXiv:1711.09404, Ross and Doshi-Velez 2018

    Verified against: closed form in NumPy
    """

    def value(self, step):
        """The mean of the squared norms."""
        return step.mean(step.by_loss())
