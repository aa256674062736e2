"""Penalty on the gradient of the loss with respect to the input."""

from keras_gdx.registry import register
from keras_gdx.regularizers.step_penalty import StepPenalty

__all__ = ["GradientPenalty"]


@register
class GradientPenalty(StepPenalty):
    r"""Penalizes the gradient of the loss with respect to the input: double backpropagation.

    $$R = \frac{\lambda}{N} \sum_{n=1}^N \left\lVert \frac{\partial \ell_n}{\partial x_n}
      \right\rVert_2^2$$

    with $\ell_n$ the loss of an example, as defined by `compile` and `sample_weight`, so that
    the loss of the batch is $\frac{1}{N} \sum_n \ell_n$. Attach it with
    `apply(model, GradientPenalty(0.1))`.

    It is meant for continuous inputs. The model runs in inference mode, without dropout and
    with the moving averages of `BatchNormalization`. A step costs a second forward pass, its
    gradient with respect to the inputs, and the gradient of that.

    Args:
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If `factor` is negative, the backend is not TensorFlow, or, in the first step,
            no input is floating-point, or the loss is not a mean over the examples.

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
        """The mean of the squared gradient norms, before multiplication by `factor`."""
        return step.mean(step.by_loss())
