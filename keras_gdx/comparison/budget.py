"""What each run of a comparison may use."""

from dataclasses import dataclass, fields

from keras_gdx.arguments import PositiveFloat, PositiveSteps, check, check_type

__all__ = ["Budget"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What each run of a comparison may use: exactly one of these.

    Time and energy are those of training, without evaluations and without the first step, which
    compiles. They are checked after every step, so that a run may exceed them by one.

    Attributes:
        steps: Integer >= 1: batches.
        examples: Integer >= 1: examples, rounded to whole batches.
        seconds: Number > 0: seconds of training.
        joules: Number > 0: energy, as `callbacks.EnergyMonitor` measures or estimates it.

    Raises:
        ValueError: If not exactly one is given.

    Example:
        >>> import keras_gdx
        >>> print(keras_gdx.Budget(steps=2000))
        2000 steps
    """

    steps: PositiveSteps | None = None
    examples: PositiveSteps | None = None
    seconds: PositiveFloat | None = None
    joules: PositiveFloat | None = None

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        check(len(given) == 1, "budget", given, f"one of {', '.join(f.name for f in fields(self))}")
        for name, value in given.items():
            counts = name in ("steps", "examples")
            check_type(name, value, PositiveSteps if counts else PositiveFloat)

    @property
    def unit(self) -> str:
        """The name of the limit that is given."""
        return next(f.name for f in fields(self) if getattr(self, f.name) is not None)

    @property
    def amount(self) -> float:
        """The limit."""
        return float(getattr(self, self.unit))

    @property
    def is_counted(self) -> bool:
        """Whether the number of steps is known beforehand."""
        return self.unit in ("steps", "examples")

    def steps_with(self, batch_size: int) -> int:
        """The number of steps with batches of this size, if it is known beforehand."""
        return max(1, round(self.amount / (batch_size if self.unit == "examples" else 1)))

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"
