"""Which values are tried next, and which are the best."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_gdx.comparison.run import Run
from keras_gdx.comparison.settings import Settings
from keras_gdx.comparison.spaces import (
    Choice,
    LogUniform,
    Space,
    advised,
    combinations,
    grid,
    halton,
)

ROUND = 4  # trials that do not know of each other, and may run beside each other


def propose(
    settings: Settings, space: Mapping[str, Space], past: Sequence[Run], count: int | None
) -> list[dict[str, Any]]:
    """The values of the next trials, at most `count`; none if there have been enough.

    What was advised is tried first.

    Args:
        settings: Those of the comparison.
        space: The arguments to choose values for.
        past: All trials so far.
        count: Integer >= 1; `None`: all that are left.
    """
    if not space:
        return []
    first = advised(space)
    if settings.search == "tpe":
        left = settings.trials - len(past)
        values = _by_model(settings, space, past, min(left, count or left))
        return values if first is None or past else [first, *values[1:]]
    if settings.search == "grid" or combinations(space) <= settings.trials:
        values = grid(space, settings.trials)
    else:
        values = halton(space, settings.trials, settings.search_seed)
    if first is not None:
        values = [first, *(each for each in values if each != first)][: settings.trials]
    return values[len(past) :][:count]


def best_trial(settings: Settings, runs: Sequence[Run]) -> Run | None:
    """The completed trial with the best score, the first of equal ones; `None` without any."""
    trials = [run for run in runs if run.phase == "search" and run.status == "completed"]
    sign = 1 if settings.mode == "min" else -1
    return min(trials, key=lambda run: (sign * run.score, run.trial), default=None)


def _by_model(
    settings: Settings, space: Mapping[str, Space], past: Sequence[Run], count: int
) -> list[dict[str, Any]]:
    """Values that a model of the results so far expects to be good, by Optuna."""
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = settings.search_seed + len(past)  # another for every round
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=ROUND)
    direction = {"min": "minimize", "max": "maximize"}[settings.mode]
    study = optuna.create_study(sampler=sampler, direction=direction)
    axes = {name: _distribution(optuna, each) for name, each in space.items()}
    for run in past:
        params = {name: _to_axis(space[name], value) for name, value in run.values.items()}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=axes, value=run.score)
        )
    asked = [study.ask(axes).params for _ in range(count)]
    return [{name: _from_axis(space[name], x) for name, x in each.items()} for each in asked]


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError("search='tpe' needs Optuna: pip install 'keras_gdx[compare]'") from error
    return optuna


def _distribution(optuna: Any, space: Any) -> Any:
    if isinstance(space, Choice):
        return optuna.distributions.CategoricalDistribution(range(len(space.values)))
    log = isinstance(space, LogUniform)
    return optuna.distributions.FloatDistribution(space.low, space.high, log=log)


def _to_axis(space: Any, value: Any) -> Any:
    return space.values.index(value) if isinstance(space, Choice) else value


def _from_axis(space: Any, value: Any) -> Any:
    return space.values[value] if isinstance(space, Choice) else value
