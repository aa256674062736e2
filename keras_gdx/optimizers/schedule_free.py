"""Schedule-Free learning: averaging instead of a learning-rate schedule."""

from dataclasses import replace
from typing import Annotated, Unpack

from annotated_types import Interval
from keras import ops

from keras_gdx.arguments import (
    DecayRate,
    LearningRate,
    NonNegative,
    NonNegativeInt,
    Number,
    is_schedule,
)
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import OPTIONS, Optimizer
from keras_gdx.optimizers.options import Options, OptionsExceptDecay
from keras_gdx.optimizers.rule import Rule
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import get, register

__all__ = ["ScheduleFree", "ScheduleFreeAdamW", "ScheduleFreeSGD"]

FIXED = 'the same in all updates with `sparse="lazy"`, which leaves other rows as they are'


Beta = Annotated[Number, Interval(gt=0, lt=1)]

Z = Slot("z", init="variable")


class Averaging(Optimizer):
    """Base class of the schedule-free rules; a subclass defines the direction at `y`."""

    @property
    def slots(self) -> tuple[Slot | str, ...]:
        """The iterate $z$, which starts at the weights."""
        return (Z,)

    shared = ("weight_sum", "rate_max", "last_beta")  # `last_beta` formed the current `y`

    def __init__(
        self,
        learning_rate: LearningRate = 1.0,
        *,
        beta: Beta = 0.9,
        weight_lr_power: NonNegative = 2.0,
        r: NonNegative = 0.0,
        warmup_steps: NonNegativeInt = 0,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self._check(
            not self.use_ema, "use_ema", self.use_ema, "False: weights are averaged already"
        )
        self._check(not is_schedule(beta) or self.sparse != "lazy", "beta", beta, FIXED)
        self.beta = beta
        self.weight_lr_power = weight_lr_power
        self.r = r
        self.warmup_steps = warmup_steps

    def global_stats(self, h, model, weight_sum, rate_max, last_beta):
        warm = ops.minimum(1.0, h.t / h.warmup_steps) if h.warmup_steps else ops.ones_like(h.t)
        rate_max = ops.maximum(rate_max, h.lr * warm)
        weight = h.t**h.r * rate_max**h.weight_lr_power
        weight_sum = weight_sum + weight
        share = weight / ops.where(weight_sum > 0, weight_sum, 1.0)
        beta = ops.cast(h.beta, last_beta.dtype)
        growth = beta / _known(last_beta, beta)
        return {"warm": warm, "share": share, "growth": growth}, weight_sum, rate_max, beta

    def descend(self, h, y, u, z, *kept):
        y = y + (h.growth - 1) * (y - z)  # a new beta moves `y`, so that `x` stays where it is
        ahead = z - h.lr * h.warm * u
        y = y + h.share * (z - y) - (1 - h.beta * (1 - h.share)) * (z - ahead)
        return y, ahead, *kept

    def evaluation_values(self, trained):
        zs = [slots["z"].read() for slots in self.state.slots if slots]  # of trained variables
        last_beta = ops.convert_to_tensor(self.state.shared["last_beta"])
        beta = _known(last_beta, self.scalars(self.iterations, last_beta.dtype).beta)
        return [_average(ops.cast(y, z.dtype), z, beta) for y, z in zip(trained, zs, strict=True)]

    def _change(self, name, value):
        if name == "beta" and self.sparse == "lazy":
            self._check(value == self.beta, "beta", value, FIXED)
        super()._change(name, value)


def _average(y, z, beta):
    """`x` computed from `y` and `z`."""
    beta = ops.cast(beta, z.dtype)
    return y + (y - z) * ((1 - beta) / beta)


def _known(last_beta, beta):
    """`last_beta`, or `beta` before the first update and after loading a file that lacks it."""
    return ops.where(last_beta > 0, last_beta, ops.cast(beta, last_beta.dtype))


@register
class ScheduleFreeSGD(Averaging):
    r"""Gradient descent without a learning-rate schedule: averaging replaces its decay.

    The gradient is computed at $y$, the step updates $z$, and the average $x$ is evaluated:

    $$z \leftarrow z - \gamma\, (u + \lambda y), \quad x \leftarrow (1 - c) x + c z, \quad
      y = (1 - \beta) z + \beta x$$

    with $u = g(y)$, $\gamma = \eta \min(1, t / \text{warmup})$, and $c$ this update's
    $t^r \gamma_{\max}^p$ divided by its sum over all updates so far. During training the
    variables hold $y$. In `fit`, `evaluate`, `predict`, `save` and `export` use $x$
    automatically; in a custom loop use `evaluation_weights()`, and
    `finalize_variable_values` at the end.

    $x$ stays the average if $\beta$ changes, provided that all variables receive gradients.

    Use it where the length of the run is not known when it starts; where it is, a tuned schedule is
    about as good. It needs a larger learning rate than with a schedule.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        beta: Number in (0, 1) or schedule, $\beta$: replaces momentum.
        weight_lr_power: Number >= 0 or schedule, $p$.
        r: Number >= 0 or schedule, $r$: values above 0 give early weights less weight.
        warmup_steps: Integer >= 0: updates of linear warmup.
        **kwargs: The options of `Optimizer`, except `use_ema`.

    Raises:
        ValueError: If an argument is out of its range, or `beta` is a schedule, or is changed
            during training, with `sparse="lazy"`.

    Memory: 4 bytes per parameter (`z`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.ScheduleFreeSGD(1.0, warmup_steps=100)

    Source: arXiv:2405.15682, Defazio et al. 2024
    Verified against: schedulefree 1.4.1 SGDScheduleFree, NumPy
    """

    def direction(self, h, g, y, z):
        return g, z


@register
class ScheduleFreeAdamW(Averaging):
    r"""AdamW without a learning-rate schedule or momentum: averaging replaces both.

    As `ScheduleFreeSGD`, with

    $$v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
      u = \frac{g}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}$$

    The paper applies the bias correction to the rate, and so to the averaging weights. This is
    the later form of the authors' package, which applies it in the denominator.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta: Number in (0, 1) or schedule, $\beta$: replaces `beta_1`.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, outside the root.
        weight_lr_power: Number >= 0 or schedule, as in `ScheduleFreeSGD`.
        r: Number >= 0 or schedule, as there.
        warmup_steps: Integer >= 0, as there.
        weight_decay: Number >= 0 or schedule, $\lambda$ of `ScheduleFreeSGD`.
        **kwargs: The options of `Optimizer`, except `use_ema`.

    Memory: 8 bytes per parameter (`z`, `velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.ScheduleFreeAdamW(2.5e-3, warmup_steps=100)

    Source: arXiv:2405.15682, Defazio et al. 2024
    Verified against: schedulefree 1.4.1 AdamWScheduleFree, NumPy
    """

    slots = (Z, Slot("velocity", signed=False))

    def __init__(
        self,
        learning_rate: LearningRate = 2.5e-3,
        *,
        beta: Beta = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-8,
        weight_lr_power: NonNegative = 2.0,
        r: NonNegative = 0.0,
        warmup_steps: NonNegativeInt = 0,
        weight_decay: NonNegative | None = 0.0,
        **kwargs: Unpack[OptionsExceptDecay],
    ):
        super().__init__(
            learning_rate,
            beta=beta,
            weight_lr_power=weight_lr_power,
            r=r,
            warmup_steps=warmup_steps,
            weight_decay=weight_decay,
            **kwargs,
        )
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def prepare(self, h):
        return {"c2": bias_correction(h.beta_2, h.t)}

    def direction(self, h, g, y, z, v):
        v = ema(v, g * g, h.beta_2)
        return g / (ops.sqrt(v / h.c2) + h.epsilon), z, v


@register
class ScheduleFree(Averaging):
    r"""The averaging of `ScheduleFreeSGD`, applied to the direction of another rule.

    Args:
        inner: Optimizer of this package or the name of one, `SGD()` if `None`; none with a
            step of its own, such as `Adan`. Its learning rate, decay and other options apply to
            the combination. $\beta$ replaces its momentum, so disable that: `Adam(beta_1=0.0)`.
        beta: See `ScheduleFreeSGD`, as for the other arguments.
        weight_lr_power: Number >= 0 or schedule.
        r: Number >= 0 or schedule.
        warmup_steps: Integer >= 0.
        name: Name of the optimizer.

    Memory: 4 bytes per parameter (`z`) more than `inner`.

    Example:
        >>> import keras_gdx
        >>> inner = keras_gdx.optimizers.Lion(1e-4, weight_decay=0.1)
        >>> optimizer = keras_gdx.optimizers.ScheduleFree(inner, warmup_steps=100)

    Source: arXiv:2405.15682, Defazio et al. 2024
    Verified against: schedulefree 1.4.1, NumPy
    """

    parts = ("inner",)
    default_inner = "sgd"

    def __init__(
        self,
        inner: Optimizer | str | None = None,
        *,
        beta: Beta = 0.9,
        weight_lr_power: NonNegative = 2.0,
        r: NonNegative = 0.0,
        warmup_steps: NonNegativeInt = 0,
        name: str | None = None,
    ):
        rule = get(self.default_inner if inner is None else inner, "inner", of=self)
        simple = isinstance(rule, Optimizer) and not (rule.part_rules() or rule.uses_global_stats)
        simple = simple and not hasattr(rule, "inner")
        self._check(
            simple, "inner", rule, "a rule of keras_gdx that updates each variable on its own"
        )
        plain = type(rule).descend is Rule.descend
        self._check(
            plain, "inner", rule, "a rule whose step is its direction times the learning rate"
        )
        super().__init__(
            rule.configured_rate(),
            beta=beta,
            weight_lr_power=weight_lr_power,
            r=r,
            warmup_steps=warmup_steps,
            name=name,
            **{option: getattr(rule, option) for option in OPTIONS},
        )
        self.exclude_from_weight_decay(rule.exempt)
        self.inner = rule

    @property
    def elementwise(self):
        """Whether the inner rule computes every entry by itself."""
        return not hasattr(self, "inner") or self.inner.elementwise

    @property
    def slots(self):
        """Those of the average and of the inner rule."""
        return (*super().slots, *(replace(s, when=None) for s in self.inner.own_slots()))

    def direction(self, h, g, y, z, *kept):
        names = [slot.name for slot in self.inner.own_slots()]
        given = ("lr", "weight_decay", *self.inner.masks)
        own = h.replace(**vars(h.inner) | {name: getattr(h, name) for name in given})
        u, new = self.inner.steer(own, g, y, dict(zip(names, kept, strict=True)))
        return u, z, *(new[name] for name in names)

    def decayed(self, h, w, u):
        return self.inner.decayed(h, w, u)

    def masks_of(self, spec):
        return self.inner.masks_of(spec)

    def catches_up(self):
        return False

    def _change(self, name, value):
        super()._change(name, value)
        if name in OPTIONS:
            setattr(self.inner, name, value)
