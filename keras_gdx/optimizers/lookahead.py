"""Lookahead: k steps forward, one step back."""

import keras
from keras import ops

from keras_gdx.arguments import Fraction, PositiveInt
from keras_gdx.optimizers.slots import Slot
from keras_gdx.optimizers.wrapper import Wrapper
from keras_gdx.registry import register

__all__ = ["Lookahead"]


@register
class Lookahead(Wrapper):
    r"""Periodically moves slow weights part of the way to the weights of an inner optimizer.

    After every `sync_period`-th update of the inner optimizer, whose weights are $w$,

    $$\phi \leftarrow \phi + \alpha (w - \phi), \qquad w \leftarrow \phi$$

    The slow weights $\phi$ start as the weights before the first update. The inner optimizer's
    slots are not changed.

    It steadies rules whose steps are noisy; if the learning rate decays to 0, little is left to
    gain.

    Args:
        inner: Any Keras optimizer, or the name of one; `Adam()` if `None`. Set options on it;
            `learning_rate` and `iterations` of `Lookahead` are the inner optimizer's.
        sync_period: Integer >= 1: updates between two synchronizations.
        slow_step_size: Number in [0, 1] or schedule, $\alpha$.
        name: Name of the optimizer.

    Raises:
        ValueError: If an argument is out of its range, or `inner` has a `precision`, whose state
            synchronization would discard.

    Memory: 4 bytes per parameter (`slow`) more than `inner`.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Lookahead(keras_gdx.optimizers.RAdam(1e-3))

    Source: arXiv:1907.08610, Zhang et al. 2019
    Verified against: TensorFlow Addons 0.23 Lookahead, NumPy
    """

    slots = (Slot("slow", init="variable"),)

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | None = None,
        *,
        sync_period: PositiveInt = 6,
        slow_step_size: Fraction = 0.5,
        name: str | None = None,
    ):
        super().__init__(inner, sync_period, name)
        self.slow_step_size = slow_step_size

    def synchronize(self) -> None:
        for bucket in self.state.buckets:
            weights = bucket.together(self.model_variables)
            h = self.scalars(self.iterations, bucket.dtype)
            slow = ops.convert_to_tensor(bucket.slots["slow"].read())
            ahead = ops.cast(weights.value, bucket.dtype) - slow
            followed = slow + ahead * h.slow_step_size
            bucket.slots["slow"].write(followed)
            weights.assign(ops.cast(followed, weights.dtype))
