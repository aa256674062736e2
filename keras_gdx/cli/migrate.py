"""`migrate`: what to write instead of calls of TensorFlow Addons and of Keras' own classes."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_gdx.cli.answer import Answer
from keras_gdx.cli.target import UsageError
from keras_gdx.migration.script import Change, changes


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the command."""
    parser = commands.add_parser("migrate", parents=[common], help="calls to write differently")
    parser.add_argument("file", nargs="+", type=Path, help="a Python script, which stays as it is")
    parser.set_defaults(run=_migrate)


def _migrate(given: argparse.Namespace) -> Answer:
    found = [(path, change) for path in given.file for change in _read(path)]
    data = [{"file": str(path), **asdict(change)} for path, change in found]
    shown = [line for path, change in found for line in _lines(path, change)]
    return Answer(data, shown or ["nothing to change"], code=0 if data else 1)


def _read(path: Path) -> list[Change]:
    try:
        return changes(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    except SyntaxError as error:
        raise UsageError(f"{path} is not Python 3: {error}") from error


def _lines(path: Path, change: Change) -> list[str]:
    lines = [f"{path}:{change.line}: {change.old}"]
    if change.new:
        lines.append(f"    {change.new}")
    if change.lost:
        lines.append(f"    without {', '.join(f'`{name}`' for name in change.lost)}")
    return [*lines, f"    {change.note}", ""]
