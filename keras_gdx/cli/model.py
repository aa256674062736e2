"""`memory`, `lr-find`, `recommend`: questions about a user's model."""

import argparse
import ast
from dataclasses import asdict
from typing import Any, get_args

from keras_gdx.callbacks import LearningRateFinder
from keras_gdx.cli.answer import Answer, table
from keras_gdx.cli.target import HELP, UsageError, model_of
from keras_gdx.memory_estimate import memory
from keras_gdx.recommendation import recommend
from keras_gdx.recommendation.facts import Task


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    parser = commands.add_parser("memory", parents=[common], help="memory that training will take")
    parser.add_argument("target", help=f"{HELP}, which returns a built model")
    parser.add_argument("--rule", help="an optimizer (all)")
    parser.add_argument("--batch-size", type=int, help="with the activations of such a batch")
    parser.add_argument("--replicas", type=int, default=1, help="devices that share a batch (1)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the optimizer"
    )
    parser.set_defaults(run=_memory)

    parser = commands.add_parser("lr-find", parents=[common], help="suggest a learning rate")
    parser.add_argument("target", help=f"{HELP}, which returns a compiled model and (x, y)")
    parser.add_argument("--low", type=float, default=1e-7, help="first rate (1e-7)")
    parser.add_argument("--high", type=float, default=10.0, help="last rate (10)")
    parser.add_argument("--steps", type=int, default=100, help="number of rates (100)")
    parser.add_argument("--batch-size", type=int, default=32, help="examples per batch (32)")
    parser.add_argument("--plot", metavar="FILE", help="write the curve as a picture")
    parser.set_defaults(run=_find)

    parser = commands.add_parser("recommend", parents=[common], help="a first choice of settings")
    parser.add_argument("target", help=f"{HELP}, which returns a built model, or it and (x, y)")
    parser.add_argument("--task", choices=get_args(Task), help="(read from the model)")
    parser.add_argument("--loss", help="for the rate finder (that of the compiled model)")
    parser.add_argument("--batch-size", type=int, default=32, help="examples per update (32)")
    parser.add_argument("--devices", type=int, default=1, help="devices that share a batch (1)")
    parser.add_argument("--memory", type=int, help="bytes on each device")
    parser.set_defaults(run=_recommend)


def _memory(given: argparse.Namespace) -> Answer:
    model, _ = model_of(given.target)
    options = dict(_option(text) for text in given.option)
    found = memory(
        model, given.rule, batch_size=given.batch_size, replicas=given.replicas, **options
    )
    rows = [found] if given.rule else found
    return Answer([{**asdict(m), "total": m.total} for m in rows], [str(found)])


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--option takes NAME=VALUE, such as state_dtype=int8. Received: {text}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _find(given: argparse.Namespace) -> Answer:
    model, data = model_of(given.target)
    if not model.compiled or not isinstance(data, tuple):
        raise UsageError(f"{given.target} must return a compiled model and a pair (x, y)")
    finder = LearningRateFinder(given.low, given.high, given.steps)
    batches = -(-len(data[0]) // given.batch_size)
    epochs = -(-given.steps // batches)
    options = {"batch_size": given.batch_size, "epochs": epochs, "verbose": 0}
    model.fit(*data, callbacks=[finder], **options)
    if given.plot:
        finder.plot().savefig(given.plot)
    rows = [{"suggestion": n, "rate": float(f"{r:.3g}")} for n, r in finder.suggestions.items()]
    return Answer(finder.suggestions, [table(rows, "suggestion", "learning rate")])


def _recommend(given: argparse.Namespace) -> Answer:
    model, data = model_of(given.target)
    advice = recommend(
        model,
        data,
        task=given.task,
        loss=given.loss,
        batch_size=given.batch_size,
        devices=given.devices,
        memory=given.memory,
    )
    return Answer([asdict(choice) for choice in advice.choices], [str(advice)])
