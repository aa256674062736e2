"""NovoGrad: momentum of gradients that are normalized per variable."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import ema, norm, started
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import UNSET, Slot
from keras_gdx.registry import register

__all__ = ["NovoGrad"]


@register
class NovoGrad(Optimizer):
    r"""Momentum of gradients that are normalized per variable, with half of Adam's memory.

    $$v \leftarrow \beta_2 v + (1-\beta_2) \lVert g \rVert^2, \quad
      m \leftarrow \beta_1 m + \frac{g}{\sqrt v + \epsilon} + \lambda w, \quad u = m$$

    where $v$, one number per variable, starts at the first $\lVert g \rVert^2$, and $m$ at 0. The
    weight decay is inside the momentum. It needs no warmup and suits large batches. The momentum
    is a sum: with `beta_1=0.9`, steps are up to ten times the learning rate; with
    `grad_averaging` it is a mean. `grad_averaging` and `amsgrad` are as in TensorFlow Addons.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the squared norm.
        epsilon: Number >= 0 or schedule, added outside the root.
        grad_averaging: If true, what is added to the momentum is multiplied by $1 - \beta_1$,
            except in the first update.
        amsgrad: If true, divides by the root of the largest $v$ so far.
        **kwargs: The options of `Optimizer`. `weight_decay` is $\lambda$.

    Memory: 4 bytes per parameter (`momentum`) and 4 bytes per variable (`velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.NovoGrad(1e-2, weight_decay=1e-3)

    Source: arXiv:1905.11286, Ginsburg et al. 2019
    Verified against: optax 0.2.8 novograd, NumPy
    """

    slots = (
        Slot("momentum", when="beta_1"),
        Slot("velocity", init=UNSET, shape=lambda shape: (), signed=False),
        Slot("largest", shape=lambda shape: (), signed=False, when="amsgrad"),
    )
    elementwise = False

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.25,
        epsilon: NonNegative = 1e-6,
        grad_averaging: bool = False,
        amsgrad: bool = False,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.grad_averaging = grad_averaging
        self.amsgrad = amsgrad

    def prepare(self, h):
        return {"share": ops.where(h.t > 1, 1 - h.beta_1, 1.0) if h.grad_averaging else 1.0}

    def direction(self, h, g, w, m, v, largest):
        squared = ops.square(norm(g))
        v = ema(started(v, squared), squared, h.beta_2)
        second = largest = ops.maximum(largest, v) if h.amsgrad else v
        added = super().decayed(h, w, g / (ops.sqrt(second) + h.epsilon))
        m = h.beta_1 * m + h.share * added
        return m, m, v, largest

    def decayed(self, h, w, u):
        return u
