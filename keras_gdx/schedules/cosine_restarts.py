"""Cosine decay with warm restarts."""

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge
from keras import ops

from keras_gdx.arguments import (
    MOST_STEPS,
    FractionFloat,
    NonNegativeFloat,
    PositiveFloat,
    PositiveSteps,
)
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, half_wave

__all__ = ["CosineRestarts"]


@register
class CosineRestarts(Schedule):
    r"""Cosine decay with warm restarts (SGDR), without end.

    Every cycle ends with a converged model. Use it for snapshot ensembles, and for runs that
    may be stopped at the end of any cycle.

    $$\eta_t = \eta_0 \left(\alpha + (m^i - \alpha) \, \tfrac12
      \left(1 + \cos \tfrac{\pi (t - b_i)}{D q^i}\right)\right)$$

    in cycle $i$, which begins at $b_i = D (1 + q + \cdots + q^{i-1})$.

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        first_decay_steps: Integer >= 1, $D$: updates in the first cycle.
        t_mul: Number >= 1, $q$: factor of the length from one cycle to the next.
        m_mul: Number > 0, $m$: factor of the first value from one cycle to the next.
        alpha: Number in [0, 1]: last value of every cycle as a fraction of the initial value.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.schedules import CosineRestarts
        >>> schedule = CosineRestarts(1.0, first_decay_steps=2)
        >>> print(schedule.sample(7).round(4))
        [1.     0.5    1.     0.8536 0.5    0.1464 1.    ]

    Source: arXiv:1608.03983, Loshchilov and Hutter 2016

    Verified against: torch CosineAnnealingWarmRestarts, timm
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        first_decay_steps: PositiveSteps,
        t_mul: Annotated[float, Ge(1)] = 2.0,
        m_mul: PositiveFloat = 1.0,
        alpha: FractionFloat = 0.0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha

    def __call__(self, t):
        t = ops.convert_to_tensor(t)
        if self.t_mul == 1:
            wave = t // self.first_decay_steps
            over = ops.cast(t - wave * self.first_decay_steps, "float32")
            length = float(self.first_decay_steps)
        else:
            begins = self._begins()
            wave = sum(ops.cast(t >= math.ceil(begin), "int32") for begin in begins[1:])
            whole = ops.take(np.floor(begins).astype("int32"), wave)
            part = ops.take((begins - np.floor(begins)).astype("float32"), wave)
            over = ops.cast(t - ops.cast(whole, t.dtype), "float32") - part
            length = self.first_decay_steps * ops.power(self.t_mul, ops.cast(wave, "float32"))
        height = ops.power(self.m_mul, ops.cast(wave, "float32"))
        share = half_wave(ops.clip(1.0 - over / length, 0.0, 1.0))
        return self.initial_learning_rate * blend(height, self.alpha, share)

    def _begins(self):
        """The first update of each cycle, up to the largest update index."""
        begins, length = [0.0], float(self.first_decay_steps)
        while begins[-1] + length < MOST_STEPS:
            begins.append(begins[-1] + length)
            length *= self.t_mul
        return np.array(begins)
