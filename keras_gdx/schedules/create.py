"""Creates schedules by name, with the length of the run."""

from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from numbers import Integral
from typing import Annotated, Any

from annotated_types import Interval
from keras import ops

from keras_gdx.advice import other_argument
from keras_gdx.arguments import (
    MOST_STEPS,
    FractionFloat,
    NonNegativeFloat,
    PositiveSteps,
    Steps,
    Tensor,
    check_type,
    is_number,
)
from keras_gdx.config import Configured, declared_arguments
from keras_gdx.registry import look_up, register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.warmup import Warmup

__all__ = ["Planned", "create"]

LENGTHS = ("decay_steps", "total_steps")  # arguments that set the length of a schedule
STEPS = (*LENGTHS, "first_decay_steps", "milestones", "stable_steps", "step_size", "warmup_steps")
StepsOrFraction = Steps | Annotated[float, Interval(ge=0, lt=1)]


def create(
    name: str,
    learning_rate: NonNegativeFloat = 1e-3,
    total_steps: PositiveSteps | None = None,
    warmup: StepsOrFraction = 0.05,
    **arguments: Any,
) -> Schedule:
    """Returns a schedule by name, with the length of the run.

    Args:
        name: Short name from `keras_gdx.list(kind="schedule")`, such as `"cosine"`.
        learning_rate: Number >= 0: the schedule's first argument, its peak rate. (`noam` and
            `onecyclemomentum` have none.)
        total_steps: Integer >= 1: updates in the run, including warmup. `None`: `fit` sets it,
            see `Planned`.
        warmup: Integer >= 0, updates of linear warmup, or number in [0, 1), fraction of the run.
            Not used for schedules that rise by themselves (`onecycle`, `cyclical`).
        **arguments: Other arguments of the schedule. Those that count updates may be fractions
            of the run: `create("multistep", 0.1, milestones=[0.5, 0.75], gamma=0.1)`.

    Raises:
        ValueError: If there is no such schedule, or an argument is out of its range.

    Example:
        >>> from keras_gdx import schedules
        >>> schedule = schedules.create("linear", 1.0, total_steps=10, warmup=0.2)
        >>> print(schedule.sample(11))
        [0.    0.5   1.    0.875 0.75  0.625 0.5   0.375 0.25  0.125 0.   ]
        >>> print(schedules.create("wsd", 1.0, total_steps=10, warmup=2).sample(11))
        [0.  0.5 1.  1.  1.  1.  1.  1.  1.  0.5 0. ]
    """
    planned = Planned(name, learning_rate, warmup, arguments=arguments)
    if total_steps is None:
        return planned
    check_type("total_steps", total_steps, PositiveSteps)
    return planned.over(total_steps)


@register
class Planned(Schedule):
    r"""A schedule whose length `fit` sets; `create` without `total_steps` returns it.

    Every `fit` that starts at its first epoch is a new run: the schedule begins there, and its
    length is the number of epochs times the updates per epoch (batches divided by
    `gradient_accumulation_steps`, rounded up). Begin and length are saved with the schedule. A
    `fit` that resumes the run, with an `initial_epoch`, `ResumableCheckpoint` or Keras'
    `BackupAndRestore`, uses them. If it is longer than the original run, the schedule is
    stretched.

    $$\eta_t = s_{t - b}(T), \qquad b, T \text{ known once } \mathtt{fit} \text{ begins}$$

    An optimizer that is an attribute of the model is assumed to make one update per batch, or
    per accumulation window. If it makes several, give `total_steps`.

    Args:
        name: See `create`, as for the other arguments.
        learning_rate: Number >= 0.
        warmup: Integer >= 0, updates of warmup, or number in [0, 1), fraction of the run.
        total_steps: Integer >= 1, $T$, updates of the run; `None` until it is known.
        arguments: Dictionary of the schedule's other arguments, by name.
        begin: Integer >= 0, $b$: the update at which the run begins.

    Raises:
        ValueError: At construction, if an argument is out of its range; when it is evaluated
            before the length is known; in `fit`, if the number of batches is unknown.

    Example:
        >>> from keras_gdx.schedules import Planned
        >>> schedule = Planned("linear", 1.0, warmup=0.0)
        >>> schedule.plan(4)
        >>> print(schedule.sample(5))
        [1.   0.75 0.5  0.25 0.  ]

    Source: by definition

    Verified against: the schedule with its length given
    """

    def __init__(
        self,
        name: str,
        learning_rate: NonNegativeFloat = 1e-3,
        warmup: StepsOrFraction = 0.05,
        total_steps: PositiveSteps | None = None,
        arguments: Mapping[str, Any] | None = None,
        begin: Steps = 0,
    ):
        self.name = name
        self._check(
            _class(name) is not Planned, "name", name, "a schedule with a length of its own"
        )
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.total_steps: int | None = None
        valid = arguments is None or isinstance(arguments, Mapping)
        self._check(valid, "arguments", arguments, "a dictionary, or None")
        self.arguments = dict(arguments or {})
        self._check_known(self.arguments)
        self.begin = begin
        self.schedule: Schedule | None = None
        self.over(MOST_STEPS)  # raises early if the arguments are invalid
        if total_steps is not None:
            self.plan(total_steps, begin)

    def displayed(self, name: str) -> Any:
        value = super().displayed(name)
        return None if value == {} else value  # as `arguments` was given

    def _check_known(self, names: Iterable[str]) -> None:
        """Raises the `TypeError` for an argument that neither `create` nor the schedule has."""
        parameters = signature(_class(self.name)).parameters
        own = [name for place, name in enumerate(parameters) if place or not _is_rate(name)]
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        for name in names:
            if name not in own and not open_ended:
                advice = other_argument(name, ["learning_rate", "total_steps", "warmup", *own])
                raise TypeError(f"create({self.name!r}) has no argument `{name}`.{advice}")

    def plan(self, total_steps: PositiveSteps, begin: Steps = 0) -> None:
        """Sets the length of the run, in updates, and the update at which it begins."""
        check_type("total_steps", total_steps, PositiveSteps, of=self)
        check_type("begin", begin, Steps, of=self)
        self.schedule = self.over(total_steps)
        self.total_steps, self.begin = total_steps, begin

    def over(self, total_steps: int) -> Schedule:
        """The schedule for a run of `total_steps` updates."""
        cls = _class(self.name)
        parameters = signature(cls).parameters
        given = {
            name: _steps(name, value, total_steps) if name in STEPS else value
            for name, value in self.arguments.items()
        }
        warmup = _steps("warmup", self.warmup, total_steps)
        self._check(
            warmup < total_steps, "warmup", self.warmup, f"shorter than the run, {total_steps}"
        )
        if "warmup_steps" in parameters:
            given.setdefault("warmup_steps", warmup)
            warmup = 0
        elif cls.rises:
            warmup = 0
        if "stable_steps" in parameters:
            given.setdefault("decay_steps", round(0.2 * total_steps) or 1)
            along = total_steps - given["warmup_steps"] - given["decay_steps"]
            given.setdefault("stable_steps", along)
        for length in LENGTHS:
            if length in parameters:
                given.setdefault(length, total_steps - warmup)
        first = next(iter(parameters))
        if _is_rate(first):
            given[first] = self.learning_rate
        schedule = cls(**given)
        return Warmup(schedule, warmup) if warmup else schedule

    def __call__(self, t: Tensor) -> Tensor:
        if self.schedule is None:
            raise ValueError(
                f"The schedule {self.name!r} needs the length of the run: it has no "
                "`total_steps`, and `fit` of a model that is compiled with an optimizer of "
                "keras_gdx has not started. Pass `total_steps`, or call `plan(total_steps)`."
            )
        return self.schedule(ops.maximum(t - self.begin, 0) if self.begin else t)


def plans_of(thing: Any) -> Iterator[Planned]:
    """The `Planned` schedules inside an optimizer."""
    if isinstance(thing, Planned):
        yield thing
    elif isinstance(thing, (list, tuple, Mapping)):
        for part in thing.values() if isinstance(thing, Mapping) else thing:
            yield from plans_of(part)
    elif isinstance(thing, Configured):
        for name in declared_arguments(type(thing)):
            given = getattr(thing, "configured_rate", None) if name == "learning_rate" else None
            yield from plans_of(given() if given else getattr(thing, name))


def _class(name: str) -> Any:
    return look_up({"wsd": "warmupstabledecay"}.get(name, name), "schedule").cls


def _is_rate(name: str) -> bool:
    """Whether a schedule's first argument is its peak rate."""
    return name == "value" or "learning_rate" in name


def _steps(name: str, value: Any, total: int) -> Any:
    """Converts updates, or a fraction of the run, to updates."""
    if isinstance(value, (list, tuple)):
        return [_steps(name, x, total) for x in value]
    if isinstance(value, Integral) or not is_number(value):
        return value
    check_type(name, value, FractionFloat)
    return round(value * total)
