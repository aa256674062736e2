"""The HTML page of a training report."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from keras_gdx.report.charts import Line, figure
from keras_gdx.report.clock import clock
from keras_gdx.report.document import document, facts, heading
from keras_gdx.report.findings import numbers
from keras_gdx.report.markup import Html, Row, element, said, table
from keras_gdx.report.metrics import direction
from keras_gdx.report.pictures import pictures

Part = Mapping[str, Any]  # one `fit`, see `page`
Rows = Sequence[Row]


def page(
    parts: Sequence[Part],
    epochs: Sequence[Row],
    found: Mapping[str, Rows],
    title: str | None = None,
    explanations: Mapping[str, Any] | None = None,
) -> str:
    """Returns the complete page.

    Args:
        parts: One dictionary for each `fit` of the run: when it `began` and was last `seen`, in
            seconds since 1970; its `first` epoch, `state` and `facts`.
        epochs: One dictionary for each epoch: `epoch`, `seconds`, `logs` and `settings`, and the
            `rates` by `update`, for each learning rate that follows a schedule.
        found: The findings of each callback, rows by callback name.
        title: The title; the name of the model if `None`.
        explanations: What explains the trained model, each an `Explanation`, by its title.
    """
    name = parts[-1]["facts"]["Model"]["name"] if title is None else title
    sections = {
        "Summary": [facts(parts[-1]["facts"])],
        "Interruptions": interruptions(parts),
        "Metrics": metrics(epochs, parts, found),
        "Hyper-parameters": settings(epochs, parts),
        "Findings": [block for each in found for block in findings(each, found[each])],
        "Explanations": explained(explanations or {}),
        "Epochs": [table("All epochs", flat(epochs))] if epochs else [],
    }
    return document(
        f"{name}: training report", header(name, parts, epochs), sections, "TrainingReport"
    )


def header(name: str, parts: Sequence[Part], epochs: Sequence[Row]) -> Html:
    """A summary of the run, in three lines."""
    last = parts[-1]
    state, _, why = last["state"].partition(" ")
    total = last["facts"]["Run"]["epochs"]
    seconds = sum(part["seen"] - part["began"] for part in parts)
    done = epochs[-1]["epoch"] if epochs else 0
    words = {
        "epochs": f"{done:,} of {total}",
        "time": clock(seconds),
        "began": when(parts[0]["began"]),
        "ended" if state != "running" else "as of": when(last["seen"]),
    }
    return heading(name, f"{state} {why}".strip(), state, words)


def interruptions(parts: Sequence[Part]) -> list[Html]:
    """When the run resumed, and what had changed."""
    if len(parts) == 1:
        return []
    rows = []
    for number, part in enumerate(parts, 1):
        over = number == len(parts) or part["state"] != "running"
        rows.append(
            {
                "part": number,
                "from epoch": part["first"],
                "began": when(part["began"]),
                "last seen": when(part["seen"]),
                "ended": part["state"] if over else "interrupted",
                "what had changed": changes(parts[number - 2], part) if number > 1 else "",
            }
        )
    return [table(f"The run has {len(parts)} parts.", rows)]


def changes(before: Part, after: Part) -> str:
    """The facts that differ from the previous part."""
    found = []
    for title, entries in after["facts"].items():
        then = before["facts"].get(title, {})
        found += [
            f"{name}: {then.get(name, 'nothing')} → {entries.get(name, 'nothing')}"
            for name in dict.fromkeys((*then, *entries))
            if then.get(name) != entries.get(name)
        ]
    return "; ".join(found) or "nothing"


def explained(explanations: Mapping[str, Any]) -> list[Html]:
    """Pictures of what the model looks at."""
    found = [*pictures(explanations)]
    return [element("div", *found, class_="charts")] if found else []


# -- numbers of the epochs -------------------------------------------------------------------


def metrics(epochs: Sequence[Row], parts: Sequence[Part], found: Mapping[str, Rows]) -> list[Html]:
    """The best epochs, and a chart of each metric that no callback's findings already show."""
    series = lines_of(epochs, "logs")
    if not series:
        return []
    pairs: dict[str, list[Line]] = {}
    for name, line in sorted(series.items(), key=lambda each: each[0] != "loss"):
        pairs.setdefault(name.removeprefix("val_"), []).append(line)
    known = {name for name, pair in pairs.items() if len(pair) > 1 or direction(name)}
    below = {name for rows in found.values() if are_curves(rows) for name in rows[-1]}
    still = [line for pair in pairs.values() if are_constant(pair) for line in pair]
    charts = {
        name: figure(
            name if len(pair) > 1 else pair[0].name, told_apart(pair), "epoch", cuts(parts)
        )
        for name, pair in pairs.items()
        if (name in known or name not in below) and not are_constant(pair)
    }
    shown = [chart for name, chart in charts.items() if name in known]
    others = [chart for name, chart in charts.items() if name not in known]
    judged = [row for line in series.values() if (row := best(line))]
    blocks = [table("The best epoch of each metric", judged)] if judged else []
    blocks += [element("div", *shown, class_="charts")] if shown else []
    if others:
        blocks += [element("h3", "Other logs"), element("div", *others, class_="charts")]
    return [*blocks, *constants(still)]


def are_constant(lines: Sequence[Line]) -> bool:
    """Whether there is nothing to draw: a flat line has no scale."""
    return all(math.isfinite(line.y[0]) and len({*line.y}) == 1 for line in lines)


def constants(lines: Sequence[Line]) -> list[Html]:
    """Says what a chart does not show."""
    values = ", ".join(f"{line.name} {said(line.y[0])}" for line in lines)
    return [element("p", f"Constant: {values}.")] if lines else []


def told_apart(pair: Sequence[Line]) -> Sequence[Line]:
    """A metric and its validation values, in this order, named by their data."""
    if len(pair) == 1:
        return pair
    training, validation = sorted(pair, key=lambda line: line.name.startswith("val_"))
    return [training._replace(name="training"), validation._replace(name="validation")]


def best(line: Line) -> dict[str, Any] | None:
    """The best epoch of a metric; `None` if it is unknown which direction is better."""
    better = direction(line.name)
    good = [(y, x) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if better is None or not good:
        return None
    sign = 1 if better == "min" else -1
    value, epoch = min(good, key=lambda pair: sign * pair[0])
    return {
        "metric": line.name,
        "best": value,
        "in epoch": epoch,
        "last": line.y[-1],
        "better is": "lower" if better == "min" else "higher",
    }


def settings(epochs: Sequence[Row], parts: Sequence[Part]) -> list[Html]:
    """Charts of the settings that change during training, and the values of all others."""
    charts, still = [], []
    by_update = rates(epochs)
    for name, line in (lines_of(epochs, "settings") | by_update).items():
        if are_constant([line]):
            still.append(line)
        elif name in by_update:
            charts.append(figure(name, [line], "update", resumptions(epochs, parts, name)))
        else:
            charts.append(figure(name, [line], "epoch", cuts(parts)))
    blocks = [element("div", *charts, class_="charts")] if charts else []
    return blocks + constants(still)


def rates(epochs: Sequence[Row]) -> dict[str, Line]:
    """The learning rates by update, where they follow a schedule."""
    found: dict[str, Line] = {}
    for epoch in epochs:
        for name, points in epoch["rates"].items():
            line = found.setdefault(name, Line(name, [], []))
            line.x.extend(points["update"])
            line.y.extend(points["rate"])
    return found


def resumptions(epochs: Sequence[Row], parts: Sequence[Part], name: str) -> list[float]:
    """The first update of each part of the run but the first."""
    begun = {part["first"] for part in parts[1:]}
    found = [each["rates"].get(name) for each in epochs if each["epoch"] in begun]
    return [points["update"][0] - 0.5 for points in found if points]


def lines_of(epochs: Sequence[Row], kind: str) -> dict[str, Line]:
    """One line for each name, over the epochs that have it."""
    found: dict[str, Line] = {}
    for epoch in epochs:
        for name, value in epoch[kind].items():
            line = found.setdefault(name, Line(name, [], []))
            line.x.append(epoch["epoch"])
            line.y.append(value)
    return found


def cuts(parts: Sequence[Part]) -> list[float]:
    """The positions between epochs where the run was interrupted."""
    return [part["first"] - 0.5 for part in parts[1:]]


def flat(epochs: Sequence[Row]) -> list[Row]:
    """One row per epoch, all with the same columns."""
    names = [(kind, name) for kind in ("logs", "settings") for name in lines_of(epochs, kind)]
    return [
        {"epoch": epoch["epoch"], "seconds": epoch["seconds"]}
        | {name: epoch[kind].get(name, "") for kind, name in names}
        for epoch in epochs
    ]


# -- findings of other callbacks ---------------------------------------------------------------


def findings(name: str, rows: Rows) -> list[Html]:
    """The charts and tables of one callback."""
    blocks = [element("h3", name)]
    if not are_curves(rows):
        return [
            *blocks,
            table(f"What {name} has found", [plain(row) | numbers(row) for row in rows]),
        ]
    quantities = by_quantity(rows).items()
    charts = [
        figure(title, lines, "step") for title, lines in quantities if not are_constant(lines)
    ]
    blocks += [element("div", *charts, class_="charts")] if charts else []
    blocks.append(table(f"What {name} has found", [plain(row) for row in rows]))
    for group, value in rows[-1].items():
        if isinstance(value, dict):
            inside = [
                {group: key} | (numbers(each) if isinstance(each, dict) else {"value": each})
                for key, each in value.items()
            ]
            blocks.append(table(f"{group} at last", inside))
    return blocks


def are_curves(rows: Rows) -> bool:
    """Whether to plot the rows: they have `step` and, unlike events, no text."""
    return all("step" in r and not any(isinstance(v, str) for v in r.values()) for r in rows)


def plain(row: Row) -> dict[str, Any]:
    """A row without its nested dictionaries."""
    return {name: value for name, value in row.items() if not isinstance(value, dict)}


def by_quantity(rows: Rows) -> dict[str, list[Line]]:
    """The lines of the rows by quantity, so that one chart shows all layers."""
    charts: dict[str, dict[str, Line]] = {}
    for row in rows:
        for path, value in numbers(row).items():
            owner, _, quantity = path.rpartition("/")
            title = f"{quantity}, by {owner.partition('/')[0]}" if owner else quantity
            lines = charts.setdefault(title, {})
            line = lines.setdefault(path, Line(owner.partition("/")[2] or path, [], []))
            line.x.append(row["step"])
            line.y.append(value)
    return {title: [*lines.values()] for title, lines in charts.items()}


def when(seconds: float) -> str:
    """Formats a time, with its UTC offset."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
