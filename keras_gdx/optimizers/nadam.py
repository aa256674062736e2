"""Adam with Nesterov momentum."""

from keras_gdx.math import bias_correction
from keras_gdx.optimizers.adam import Adam
from keras_gdx.registry import register

__all__ = ["NAdam"]


@register
class NAdam(Adam):
    r"""Adam with Nesterov momentum: steps with the momentum that the next step would have.

    $$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,
      \quad u = \frac{\beta_1 m / (1-\beta_1^{t+1}) + (1-\beta_1)\, g / (1-\beta_1^t)}
      {\sqrt{v / (1-\beta_2^t)} + \epsilon}$$

    Reacts to a new gradient one step sooner than Adam, which pays where the momentum is large.
    The decay rate of the momentum is constant, as in optax; torch and Keras let it grow from half
    its value ($\mu_t$ in the paper), which a schedule as `beta_1` does not reproduce.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, added outside the root (Keras' default is 1e-7).
        amsgrad: If true, the denominator never decreases; see `Adam`.
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`); 12 with `amsgrad`.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.NAdam(1e-3)

    Source: Dozat 2016, ICLR workshop
    Verified against: optax 0.2.8 nadam, NumPy
    """

    def prepare(self, h):
        return super().prepare(h) | {"r1_ahead": 1 / bias_correction(h.beta_1, h.t + 1)}

    @staticmethod
    def numerator(h, g, m):
        """The momentum one step ahead."""
        return h.beta_1 * h.r1_ahead * m + (1 - h.beta_1) * h.r1 * g
