"""DoG: distance over gradients."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import LearningRate, NonNegative, Positive
from keras_gdx.math import norm
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["DoG"]


@register
class DoG(Optimizer):
    r"""Gradient descent that sets its own step size: distance over gradients.

    $$\bar r_t = \max_{s \le t} \lVert w_s - w_0 \rVert \quad (\text{at least } \bar r_0
      = \rho\, (1 + \lVert w_0 \rVert)), \qquad
      w \leftarrow w - \eta\, g\, \frac{\bar r_t}{\sqrt{\sum_{s \le t} \lVert g_s \rVert^2
      + \epsilon}}$$

    with norms over all weights of the model. The paper's results use averaged weights: set
    `use_ema=True`.

    Made for fine-tuning without a search for the learning rate; from scratch a tuned Adam is
    usually better.

    Args:
        learning_rate: $\eta$, 1 in the paper; see `Optimizer`, as for all other options.
        reps_rel: Number > 0 or schedule, $\rho$: initial distance, relative to the weights.
        epsilon: Number >= 0 or schedule, added inside the root.
        **kwargs: The options of `Optimizer`. `weight_decay` is scaled by the complete step size.

    Memory: 4 bytes per parameter (`start`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.DoG(use_ema=True)

    Source: arXiv:2302.12022, Ivgi et al. 2023
    Verified against: optax 0.2.8 contrib.dog, NumPy
    """

    slots = (Slot("start", init="variable"),)
    shared = ("farthest", "energy")
    elementwise = False
    divisible = False

    def __init__(
        self,
        learning_rate: LearningRate = 1.0,
        *,
        reps_rel: Positive = 1e-6,
        epsilon: NonNegative = 1e-8,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.reps_rel = reps_rel
        self.epsilon = epsilon

    @staticmethod
    def distance(h, model, farthest):
        """The largest distance from the start so far."""
        starts = [slots["start"] for slots in model.slots]
        moved = norm(*(w - s for w, s in zip(model.weights, starts, strict=True)))
        first = h.reps_rel * (1 + norm(*starts))
        return ops.maximum(farthest, ops.maximum(moved, first))

    def global_stats(self, h, model, farthest, energy):
        farthest = self.distance(h, model, farthest)
        energy = energy + ops.square(norm(*model.gradients))
        return {"eta": farthest / ops.sqrt(energy + h.epsilon)}, farthest, energy

    def direction(self, h, g, w, start):
        return g, start

    def descend(self, h, w, u, start):
        return w - h.lr * h.eta * u, start
