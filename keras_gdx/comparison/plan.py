"""What is to be done next, as a function of the settings and of the runs so far.

A comparison that was interrupted, or that several processes share, therefore ends with the runs of
one that was not: nobody decides by what happens to be finished first. Decisions that need results
wait for all the runs that they depend on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from keras_gdx.comparison.result import Comparison
from keras_gdx.comparison.run import Phase, Run
from keras_gdx.comparison.search import ROUND, best_trial, propose
from keras_gdx.comparison.settings import KEPT, Settings
from keras_gdx.comparison.strategies import Strategy


@dataclass(frozen=True)
class Task:
    """A run that is to be made.

    Attributes:
        strategy: The strategy's name.
        phase: See `Run`, as for the next three.
        trial: The number of the values.
        seed: The seed.
        values: The values.
        bars: What a trial must have reached at an evaluation, or it is pruned.
    """

    strategy: str
    phase: Phase
    trial: int
    seed: int
    values: Mapping[str, Any]
    bars: Mapping[int, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A name of the task that can be that of a file."""
        return key(self)


Done = Mapping[str, Run]


def key(run: Run | Task) -> str:
    """A name for a run that can be that of a file."""
    return f"{run.phase}-{run.trial}-{run.seed}-{quote(run.strategy, safe='')}"


def plan(settings: Settings, runs: Sequence[Run]) -> list[Task]:
    """The tasks that can be begun now, or have been; none when the comparison is complete."""
    done = {key(run): run for run in runs}
    tasks = [t for s in settings.strategies.values() for t in _of_strategy(settings, s, done)]
    return _missing(tasks, done) or _race(settings, done)


def _of_strategy(settings: Settings, strategy: Strategy, done: Done) -> list[Task]:
    """The search, and after it the runs that report."""
    trials = list(_search(settings, strategy, done))
    if _missing(trials, done):
        return trials
    return [*trials, *_finals(settings, strategy, done, range(settings.seeds))]


def _search(settings: Settings, strategy: Strategy, done: Done) -> Iterator[Task]:
    """Trials in rounds, up to the first that is not complete."""
    in_rounds = settings.prune or settings.search == "tpe"
    past: list[Run] = []
    while values := propose(settings, strategy.space, past, ROUND if in_rounds else None):
        seed, bars = settings.search_seed, _bars(settings, past)
        tasks = [
            Task(strategy.name, "search", len(past) + i, seed, each, bars)
            for i, each in enumerate(values)
        ]
        yield from tasks
        if _missing(tasks, done):
            return
        past += [done[task.key] for task in tasks]


def _bars(settings: Settings, past: Sequence[Run]) -> dict[int, float]:
    """What a trial must reach to be among the best third, at 1/9 and 1/3 of the budget.

    Source: arXiv:1810.05934, Li et al. 2020 (in the form that ends trials), but a trial is compared
        with those of earlier rounds only
    """
    bars: dict[int, float] = {}
    for rung in {settings.evaluations // KEPT**2, settings.evaluations // KEPT} - {0}:
        values = [run.curve[rung - 1].value for run in past if len(run.curve) >= rung]
        values.sort(reverse=settings.mode == "max")
        if settings.prune and values:
            bars[rung] = values[max(1, (len(values) + 1) // KEPT) - 1]
    return bars


def _finals(settings: Settings, strategy: Strategy, done: Done, indices: range) -> list[Task]:
    """The runs that report, from seeds that no trial has had.

    They have the values of the best trial, and further ones those that were advised, the first.
    """
    reported: dict[int, Mapping[str, Any]] = {0: {}}
    if strategy.space:
        best = best_trial(settings, [r for r in done.values() if r.strategy == strategy.name])
        if best is None:
            return []
        reported = {best.trial: best.values}
        if strategy.advised is not None:
            reported |= {0: strategy.advised}
    return [
        Task(strategy.name, "final", trial, settings.final_seed(i), values)
        for i in indices
        for trial, values in reported.items()
    ]


def _race(settings: Settings, done: Done) -> list[Task]:
    """One more seed for the strategies between which nothing is decided, up to the maximum."""
    for count in range(settings.seeds, settings.max_seeds):
        seeds = {settings.final_seed(i) for i in range(count)}
        runs = [r for r in done.values() if r.phase == "search" or r.seed in seeds]
        names = Comparison(sorted(runs, key=key), settings).undecided
        chosen = [settings.strategies[name] for name in names]
        one = range(count, count + 1)
        tasks = [t for s in chosen for t in _finals(settings, s, done, one)]
        if not tasks:
            return []
        if missing := _missing(tasks, done):
            return missing
    return []


def _missing(tasks: Sequence[Task], done: Done) -> list[Task]:
    return [task for task in tasks if task.key not in done]
