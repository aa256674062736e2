"""Lookahead: k steps forward, one step back."""

from keras import ops

from keras_gdx.config import check, check_integer
from keras_gdx.engine import backend
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import get, register

__all__ = ["Lookahead"]


@register
class Lookahead(Optimizer):
    r"""Lets any optimizer run ahead, and follows it part of the way.

    After every `sync_period`-th update of the inner optimizer, whose weights are $w$,

    $$\phi \leftarrow \phi + \alpha (w - \phi), \qquad w \leftarrow \phi$$

    The slow weights $\phi$ start as the weights when the optimizer is built. The inner
    optimizer's slots go on as they are.

    Args:
        inner: Any Keras optimizer, ours or not, or the name of one; `Adam()` if `None`. Its
            rate and all options are the inner optimizer's, and so are `learning_rate` and
            `iterations` of this one.
        sync_period: Integer >= 1: updates between two synchronizations.
        slow_step_size: Number in [0, 1] or schedule, $\alpha$.
        name: Name of the optimizer.

    Raises:
        ValueError: If an argument is out of its range, or `inner` has a `precision`: what
            that keeps of 16-bit weights would be lost whenever they are synchronized.

    Memory: 4 bytes per parameter (`slow`) more than `inner`.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Lookahead(keras_gdx.optimizers.RAdam(1e-3))

    Source: arXiv:1907.08610, Zhang et al. 2019
    Verified against: TensorFlow Addons 0.23 Lookahead, NumPy
    """

    slots = (Slot("slow", init="variable"),)
    default_inner = "adam"

    def __init__(self, inner=None, *, sync_period=6, slow_step_size=0.5, name=None):
        super().__init__(0.0, name=name)
        self.inner = get(self.default_inner if inner is None else inner, "inner")
        kept = getattr(self.inner, "precision", None)
        check(kept is None, "inner.precision", kept, "`None`: weights are given back rounded")
        check_integer("sync_period", sync_period, 1)
        self.sync_period = sync_period
        self.slow_step_size = slow_step_size

    def build(self, variables):
        super().build(variables)
        if not self.inner.built:
            with backend.outside_graph():
                self.inner.build(variables)

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        before = backend.snapshot(self.iterations)
        self.inner.apply(grads, trainable_variables)
        self._synchronize_after(before)

    def flush(self):
        if not (isinstance(self.inner, Optimizer) and self.built):
            return
        before = self.iterations.numpy()
        self.inner.flush()
        if self.iterations.numpy() > before and self.iterations.numpy() % self.sync_period == 0:
            backend.outside_step(self, self._synchronize)()

    def _synchronize_after(self, before):
        """Synchronizes if there has been an update and its turn has come."""
        now = backend.snapshot(self.iterations)
        due = ops.logical_and(now > before, now % self.sync_period == 0)
        touched = [*super().variables, *self.model_variables]
        backend.run_if(due, lambda _: self._synchronize(), [], touched)

    def _synchronize(self):
        for group in self.state.groups:
            weights = group.together([self.model_variables[i] for i in group.indices])
            h = self.scalars(self.iterations, group.dtype)
            slow = ops.convert_to_tensor(group.slots["slow"].read())
            ahead = ops.cast(weights.value, group.dtype) - slow
            followed = slow + ahead * h.slow_step_size
            group.slots["slow"].write(followed)
            weights.assign(ops.cast(followed, weights.dtype))

    def attach(self, model):
        super().attach(model)
        if isinstance(self.inner, Optimizer):
            self.inner.attach(model)

    def scale_loss(self, loss):
        return self.inner.scale_loss(loss)

    def evaluation_weights(self):
        return self.inner.evaluation_weights()

    def finalize_variable_values(self, var_list):
        self.inner.finalize_variable_values(var_list)

    @property
    def iterations(self):
        """The updates of the inner optimizer."""
        return self.inner.iterations

    @property
    def learning_rate(self):
        """The inner optimizer's."""
        return self.inner.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.inner.learning_rate = value

    @property
    def variables(self):
        """Its own and the inner optimizer's."""
        return super().variables + self.inner.variables

    def planned(self, variables):
        own = super().planned(variables)
        return own + self.inner.planned(variables) if isinstance(self.inner, Optimizer) else own

    def bytes_per_parameter(self, shape):
        own = super().bytes_per_parameter(shape)
        ours = isinstance(self.inner, Optimizer)
        return own + self.inner.bytes_per_parameter(shape) if ours else own
