"""`PlateauController` with the arguments of Keras' callback."""

from typing import Annotated, Any

from annotated_types import Interval

from keras_gdx.arguments import NonNegativeFloat, NonNegativeInt
from keras_gdx.callbacks._lib.argument_types import Mode, Verbosity
from keras_gdx.callbacks.plateau_controller import PlateauController
from keras_gdx.registry import register

__all__ = ["ReduceLROnPlateau"]


@register
class ReduceLROnPlateau(PlateauController):
    """Drop-in replacement for `keras.callbacks.ReduceLROnPlateau`.

    It has the same arguments in the same order and makes the same decisions. Unlike Keras' own,
    it works on top of schedules, resumes after an interruption, and raises an error if the
    metric is missing. Two things differ from `PlateauController`: `min_delta` is in the
    units of the metric, and the last epoch of a cooldown is counted, so 1 is the same as 0.

    Args:
        monitor: Name of the metric in the logs.
        factor: Number in (0, 1) that multiplies the learning rate.
        patience: Integer >= 0, epochs without improvement before the rate is reduced.
        verbose: 1 to print each change, 0 to print nothing.
        mode: `"min"`, `"max"`, or `"auto"` to infer it from the metric's name.
        min_delta: Number >= 0, the smallest change that is an improvement.
        cooldown: Integer >= 0, epochs until counting starts again, including the epoch in
            which it does.
        min_lr: Number >= 0, the lowest rate that a reduction can set.
        start_from_epoch: Integer >= 0, the first epoch that is observed.

    Raises:
        ValueError: As `PlateauController`.

    Example:
        >>> from keras_gdx.callbacks import ReduceLROnPlateau
        >>> callback = ReduceLROnPlateau("val_loss", 0.2, patience=5, min_lr=0.001)
        >>> callback.min_lr
        0.001

    Source: keras.callbacks.ReduceLROnPlateau.

    Verified against: keras.callbacks.ReduceLROnPlateau.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: Annotated[float, Interval(gt=0, lt=1)] = 0.1,
        patience: NonNegativeInt = 10,
        verbose: Verbosity = 0,
        mode: Mode = "auto",
        min_delta: NonNegativeFloat = 1e-4,
        cooldown: NonNegativeInt = 0,
        min_lr: NonNegativeFloat = 0.0,
        *,
        start_from_epoch: NonNegativeInt = 0,
    ):
        super().__init__(
            monitor,
            factor=factor,
            patience=patience,
            mode=mode,
            min_delta=min_delta,
            relative=False,
            cooldown=cooldown,
            min_learning_rate=self.accept("min_lr", min_lr),
            start_from_epoch=start_from_epoch,
            verbose=verbose,
        )

    @property
    def min_lr(self) -> float:
        """The minimum learning rate, by Keras' name."""
        return self.min_learning_rate

    @min_lr.setter
    def min_lr(self, rate: float) -> None:
        self.min_learning_rate = self.accept("min_lr", rate)

    def _rule(self) -> dict[str, Any]:
        return super()._rule() | {"cooldown": max(self.cooldown - 1, 0)}
