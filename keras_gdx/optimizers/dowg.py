"""DoWG: distance over weighted gradients."""

from keras import ops

from keras_gdx.math import norm
from keras_gdx.optimizers.dog import DoG
from keras_gdx.registry import register

__all__ = ["DoWG"]


@register
class DoWG(DoG):
    r"""Gradient descent that sets its own step size, with larger steps than `DoG`.

    $$\bar r_t = \max_{s \le t} \lVert w_s - w_0 \rVert \quad (\text{at least } \bar r_0
      = \rho\, (1 + \lVert w_0 \rVert)), \qquad
      w \leftarrow w - \eta\, g\, \frac{\bar r_t^2}
      {\sqrt{\sum_{s \le t} \bar r_s^2 \lVert g_s \rVert^2} + \epsilon}$$

    with norms over all weights of the model. Early gradients, seen from small distances, count
    less than in `DoG`, so the step size grows further. It has no averaged weights in the paper;
    if training diverges, use `DoG`, or a smaller $\eta$. In optax the first distance is an
    argument.

    Args:
        learning_rate: $\eta$, 1 in the paper; see `Optimizer`, as for all other options.
        reps_rel: Number > 0 or schedule, $\rho$: initial distance, relative to the weights.
        epsilon: Number >= 0 or schedule, added outside the root.
        **kwargs: The options of `Optimizer`. `weight_decay` is scaled by the complete step size.

    Memory: 4 bytes per parameter (`start`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.DoWG(reps_rel=1e-4)

    Source: arXiv:2305.16284, Khaled et al. 2023
    Verified against: optax 0.2.8 contrib.dowg, NumPy
    """

    def global_stats(self, h, model, farthest, energy):
        farthest = self.distance(h, model, farthest)
        energy = energy + ops.square(farthest * norm(*model.gradients))
        return {"eta": ops.square(farthest) / (ops.sqrt(energy) + h.epsilon)}, farthest, energy
