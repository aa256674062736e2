"""Base class of penalties on the train step instead of a variable."""

from typing import Any

from keras_gdx.arguments import NonNegativeFloat, Tensor, check, needs_tensorflow
from keras_gdx.regularizers.base import Penalty

__all__: list[str] = []


class StepPenalty(Penalty):
    """A penalty that `apply` attaches to a model; a subclass defines `value(step)`."""

    def __init__(self, factor: NonNegativeFloat):
        needs_tensorflow(type(self).__name__)
        super().__init__(factor)

    def value(self, step: Any) -> Tensor:
        """The penalty of one step, a `Step` of `integration.penalties`, before the factor."""
        raise NotImplementedError

    def __call__(self, step: Any) -> Tensor:
        check(
            hasattr(step, "by_loss"),
            "regularizer",
            self,
            "a penalty on weights or outputs. This one applies to complete train steps: attach "
            "it to a model with `keras_gdx.regularizers.apply`",
        )
        return self.factor * self.value(step)
