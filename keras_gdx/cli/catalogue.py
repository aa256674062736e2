"""`list`, `info`, `presets`: what the package has."""

import argparse
import inspect
from typing import Any, get_args

from keras_gdx.cli.answer import Answer, table
from keras_gdx.recipes import presets
from keras_gdx.registry import REGISTRY, Kind, info
from keras_gdx.registry import list as names


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    parser = commands.add_parser("list", parents=[common], help="names of classes")
    parser.add_argument("pattern", nargs="?", default="*", help="such as 'adam*'")
    parser.add_argument("--kind", choices=get_args(Kind))
    parser.set_defaults(run=_list)
    parser = commands.add_parser("info", parents=[common], help="what a class does")
    parser.add_argument("name", help="a name from `keras-gdx list`")
    parser.set_defaults(run=_info)
    parser = commands.add_parser("presets", parents=[common], help="settings of recipes")
    parser.add_argument("rule", nargs="?", help="of this optimizer only")
    parser.set_defaults(run=_presets)


def _list(given: argparse.Namespace) -> Answer:
    entries = [REGISTRY[name] for name in names(given.pattern, given.kind)]
    data = [{"name": e.name, "kind": e.kind, "summary": e.summary} for e in entries]
    return Answer(data, [table(data, "name", "kind", "")], code=0 if data else 1)


def _info(given: argparse.Namespace) -> Answer:
    entry = info(given.name)
    cls = entry.cls
    parameters = inspect.signature(cls).parameters.items()
    data = {
        "name": cls.__name__,
        "kind": entry.kind,
        "summary": entry.summary,
        "arguments": {n: None if p.default is p.empty else p.default for n, p in parameters},
        "bytes_per_parameter": entry.bytes_per_parameter,
        "source": entry.paper,
        "verified_against": entry.verified,
    }
    return Answer(data, [inspect.getdoc(cls)])


def _presets(given: argparse.Namespace) -> Answer:
    data = [
        {
            "rule": p.rule,
            "preset": p.name,
            "learning_rate": p.learning_rate,
            "batch_size": p.batch_size,
            "arguments": p.arguments,
            "source": p.source,
        }
        for p in presets(given.rule)
    ]
    titles = ("rule", "preset", "learning rate", "batch", "arguments", "source")
    return Answer(data, [table(data, *titles)], code=0 if data else 1)
