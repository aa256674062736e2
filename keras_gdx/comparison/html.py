"""The HTML page of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_gdx.comparison.decision import LEVEL
from keras_gdx.comparison.page_charts import charts
from keras_gdx.comparison.page_tables import advice, runs, search, strategies
from keras_gdx.comparison.summary import StrategySummary
from keras_gdx.report.clock import clock
from keras_gdx.report.document import document, facts, heading
from keras_gdx.report.markup import Html, element, said
from keras_gdx.report.sorting import SORT

if TYPE_CHECKING:
    from keras_gdx.comparison.result import Comparison


def page(result: Comparison) -> str:
    """Returns the complete page."""
    metric = result.settings.metric
    title = f"{len(result.strategies)} strategies compared by {metric}"
    sections = {
        "Verdict": verdict(result),
        "Strategies": strategies(result),
        "Advice": advice(result),
        "Charts": charts(result),
        "Search": search(result),
        "Runs": runs(result),
        "Setup": [facts(setup(result))],
        "Method": [element("p", text, class_="text") for text in method(result)],
    }
    return document(title, header(result, title), sections, "compare", SORT)


def header(result: Comparison, title: str) -> Html:
    """The state, and what the comparison was."""
    given = result.settings
    if result.best:
        state, kind = f"{result.best.name} is best", "finished"
    elif result.decision.leader:
        state, kind = f"no decision; {result.decision.leader} leads", "running"
    else:
        state, kind = "all runs failed", "failed"
    finals = [r for r in result.runs if r.phase == "final"]
    words = {
        "metric": f"{given.metric}, {'lower' if given.mode == 'min' else 'higher'} is better",
        "each run": str(given.budget),
        "runs that report": said(len(finals)),
        "runs of the search": said(len(result.runs) - len(finals)),
        "training time": clock(sum(run.seconds for run in result.runs)),
    }
    return heading(title, state, kind, words)


def verdict(result: Comparison) -> list[Html]:
    """The verdict, and how to read it."""
    confidence = (
        "Numbers in brackets are 95 % intervals: the range in which the true difference probably "
        f"is. n is the number of runs with different random seeds, and p the probability of such a "
        f"difference between equal strategies; up to {LEVEL} it counts as a decision."
    )
    return [
        *(element("p", sentence, class_="lead") for sentence in result.sentences),
        element("p", confidence, class_="note text"),
    ]


def setup(result: Comparison) -> dict[str, dict[str, str]]:
    """The arguments of the comparison."""
    given = result.settings
    return {
        "Comparison": {
            "metric": given.metric,
            "better is": "lower" if given.mode == "min" else "higher",
            "budget of a run": str(given.budget),
            "batch size": said(given.batch_size),
            "evaluations in a run": said(given.evaluations),
            "seeds that report": f"{given.seeds}, up to {given.max_seeds} while undecided",
            "margin": "none" if given.margin is None else said(given.margin),
            "target": said(result.target),
        },
        "Search": {
            "trials of each strategy": said(given.trials),
            "method": given.search,
            "seed": said(given.search_seed),
            "ended early": given.prune or "no",
        },
        "Strategies": {name: strategy_in_words(each) for name, each in result.strategies.items()},
    }


def strategy_in_words(each: StrategySummary) -> str:
    """A strategy's optimizer, arguments and spaces."""
    strategy = each.strategy
    name = strategy.optimizer
    name = name if isinstance(name, str) else getattr(name, "__name__", type(name).__name__)
    arguments = ", ".join(f"{n}={said(value)}" for n, value in strategy.arguments.items())
    return f"{name}({arguments})"


def method(result: Comparison) -> list[str]:
    """How the decision was made."""
    given = result.settings
    scale = {
        "geometric mean": "Scores are compared by their logarithms, and means are geometric, "
        "because losses vary in proportion to their size; differences are given in the metric's "
        "units, at the other strategy's mean.",
        "mean": "Scores are compared as they are.",
    }[result.decision.scale.name]
    racing = (
        f" Seeds were added from {given.seeds} up to {given.max_seeds}, as long as a difference "
        "was not decided; p values and intervals allow for the repeated tests."
        if given.max_seeds > given.seeds
        else ""
    )
    return [
        "Each strategy had the same budget, and the same number of trials if it had values to "
        "choose. The values with the best score of the search were trained again with new seeds, "
        "the same for all strategies; only these runs are compared.",
        "The strategy with the best scores is tested against each other one with Student's paired "
        "t test. The p values are adjusted for the number of strategies and for the choice of the "
        "best one by the same scores, so that the probability of any false decision is at most "
        f"{100 * LEVEL:.0f} %.{racing}",
        f"{scale} A strategy of which a run failed cannot be best if another one has no failure.",
    ]
