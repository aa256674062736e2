"""The charts on the page of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_gdx.comparison.plots import CHARTS, Look, scanned
from keras_gdx.comparison.verdict import short
from keras_gdx.report.charts import CUT, DASHES, FEW, SIZE, canvas, embedded, sample, sentinel
from keras_gdx.report.markup import Html, element

if TYPE_CHECKING:
    from keras_gdx.comparison.result import Comparison

COLOURS = 7  # of lines in the style sheet; with 4 styles, 28 lines can be told apart
LOGARITHMIC = {
    ("log", "linear"): " The horizontal axis is logarithmic.",
    ("linear", "log"): " The vertical axis is logarithmic.",
    ("log", "log"): " Both axes are logarithmic.",
}


def charts(result: Comparison, kinds: Sequence[str] = tuple(CHARTS)) -> list[Html]:
    """The charts of these kinds that have something to show, under one legend."""
    if result.decision.leader is None:
        return []
    metric = result.settings.metric
    better = "lower" if result.settings.mode == "min" else "higher"
    limit = "If it reaches 0, the other strategy may be as good."
    if result.settings.margin:
        limit = "If it reaches the band, the margin, it is not decided whether the lead matters."
    captions = {
        "differences": (
            "The leader's lead",
            f"Small marks are seeds, the large one is their mean, the line its interval. {limit}",
        ),
        "curves": (
            f"{metric} during training",
            f"Median of the runs, shaded from the best to the worst; {better} is better. "
            "The dashed line is the target.",
        ),
        "rate": (
            f"{metric} at each value that was tried",
            "The ring is the value that was chosen; × marks trials that failed or were ended "
            "early. A wide valley is easy to tune; a ring at an end says that better values may be "
            "beyond it.",
        ),
        "budget": (
            f"{metric} by the number of trials",
            "The best of so many trials, at the median of all choices: who is better only after "
            "more tuning?",
        ),
        "profile": (
            "How soon the target is reached",
            f"The share of runs that reach {short(result.target or math.nan)} in a multiple of "
            "the time of the fastest run with the same seed; higher is better.",
        ),
    }
    able = {"differences": len(result.decision.duels) > 0, "rate": scanned(result) is not None}
    able |= {"budget": any(each.trials for each in result.strategies.values())}
    shown = [kind for kind in captions if kind in kinds and able.get(kind, True)]
    names = [*result.strategies]
    keys = [sample(n, colour(i), DASHES[i % FEW]) for i, n in enumerate(names)]
    return [
        element("p", *keys, class_="title"),
        element(
            "div",
            *(figure(result, kind, *captions[kind]) for kind in shown),
            class_="charts",
        ),
    ]


def figure(result: Comparison, kind: str, title: str, note: str) -> Html:
    """One chart with its title and a note on how to read it."""
    names = [*result.strategies]
    look = Look({name: sentinel(place) for place, name in enumerate(names)}, CUT)
    rows = len(names) - 1
    height = max(SIZE[1], 0.7 + 0.4 * rows) if kind == "differences" else SIZE[1]
    with canvas(height) as (sheet, axes):
        words = CHARTS[kind](result, axes, look)
        svg = embedded(sheet, [colour(place) for place in range(len(names))], f"{title}. {words}")
    caption = element("figcaption", element("p", element("strong", title), class_="title"))
    axis = LOGARITHMIC.get((axes.get_xscale(), axes.get_yscale()), "")
    return element("figure", caption, svg, element("p", note, axis, class_="note"))


def colour(place: int) -> str:
    """The color of a strategy, as CSS."""
    return f"var(--line-{place % COLOURS})"
