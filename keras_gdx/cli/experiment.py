"""`compare`, `report`: choosing among ways to train."""

import argparse
from pathlib import Path
from typing import Any

from keras_gdx.cli.answer import Answer
from keras_gdx.cli.target import HELP, UsageError, call, search_here
from keras_gdx.comparison import Comparison, compare, join
from keras_gdx.comparison.journal import Journal, read_settings
from keras_gdx.comparison.rows import advice_rows


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    parser = commands.add_parser("compare", parents=[common], help="train in several ways")
    parser.add_argument(
        "target", nargs="?", help=f"{HELP}, which returns the arguments of keras_gdx.compare"
    )
    parser.add_argument("--join", metavar="FOLDER", help="take part in one that has begun")
    parser.add_argument("--resume", metavar="FOLDER", help="for the runs, to go on later")
    parser.add_argument("--workers", type=int, help="processes (half of the cores)")
    parser.add_argument("--timeout", type=float, help="seconds for a run (no limit)")
    parser.add_argument("--report", metavar="FILE", help="write a page with charts")
    parser.add_argument("--save", metavar="FILE", help="write everything as JSON")
    parser.set_defaults(run=_compare)

    parser = commands.add_parser("report", parents=[common], help="the page of a comparison")
    parser.add_argument("source", help="folder of a comparison, or file that it was saved to")
    parser.add_argument("--output", "-o", default="compare.html", help="file (compare.html)")
    parser.set_defaults(run=_report)


def _compare(given: argparse.Namespace) -> Answer:
    if (given.target is None) == (given.join is None):
        raise UsageError(f"type either {HELP} or --join FOLDER")
    options = {
        "workers": given.workers,
        "timeout": given.timeout,
        "resume": given.resume,
        "verbose": 0 if given.json else 1,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if given.join:
        if given.resume:
            raise UsageError("--join has the folder of the runs: leave out --resume")
        search_here()
        found = _missing_is_wrong(lambda: join(given.join, **options))
    else:
        arguments = call(given.target)
        if not isinstance(arguments, dict):
            raise UsageError(
                f"{given.target} must return a dictionary: the arguments of keras_gdx.compare. "
                f"Received: {type(arguments).__name__}"
            )
        try:
            found = compare(**{**arguments, **options})
        except TypeError as error:
            raise UsageError(f"{given.target} returned other arguments: {error}") from error
    if given.report:
        found.report(given.report)
    if given.save:
        found.save(given.save)
    return _answer(found)


def _report(given: argparse.Namespace) -> Answer:
    path = Path(given.source)
    search_here()
    if path.is_dir():
        settings = _missing_is_wrong(lambda: read_settings(path))
        with Journal(path, settings) as journal:
            found = Comparison(journal.runs(), settings)
    else:
        found = _missing_is_wrong(lambda: Comparison.load(path))
    found.report(given.output)
    answer = _answer(found)
    return Answer({**answer.data, "page": given.output}, [str(found), f"\npage: {given.output}"])


def _answer(found: Comparison) -> Answer:
    best = found.best
    data = {
        "verdict": found.verdict,
        "best": best and best.name,
        "table": [*found.table],
        "advice": advice_rows(found),
    }
    return Answer(data, [str(found)], code=0 if best else 1)


def _missing_is_wrong(read: Any) -> Any:
    try:
        return read()
    except FileNotFoundError as error:
        raise UsageError(f"there is no comparison: {error}") from error
