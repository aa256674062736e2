"""Reads the command line and runs a command."""

import argparse
import sys
import traceback
from collections.abc import Sequence

from keras_gdx._version import __version__
from keras_gdx.cli import catalogue, doctor, experiment, migrate, model
from keras_gdx.cli.target import TargetError, UsageError

CODES = """exit codes:
  0  done
  1  done, and the answer is no: nothing found, undecided, or the doctor found something
  2  the command line is wrong; the message says what to type
  3  your own code raised an error
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `keras-gdx`; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["distribute"]:  # all that follows belongs to it, and to its script
        from keras_gdx.distribute.__main__ import main as distribute

        return distribute(arguments[1:])
    parser = parsers()
    given = parser.parse_args(arguments)
    try:
        answer = given.run(given)
    except (UsageError, ValueError) as error:
        print(f"keras-gdx {given.command}: {error}", file=sys.stderr)
        return 2
    except TargetError as error:
        traceback.print_exception(error.__cause__)
        print(f"keras-gdx {given.command}: {error} raised this error", file=sys.stderr)
        return 3
    answer.print(given.json)
    return answer.code


def parsers() -> argparse.ArgumentParser:
    """The parser of the command, with those of its subcommands."""
    parser = argparse.ArgumentParser(
        prog="keras-gdx",
        description="Optimizers, schedules and callbacks for Keras 3, from the command line.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    try:
        import shtab
    except ImportError:
        pass
    else:
        shtab.add_argument_to(parser, ["--print-completion"])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the answer as JSON")
    for module in (catalogue, model, experiment, migrate, doctor):
        module.add(commands, common)
    commands.add_parser("distribute", help="run a script as several workers, see its --help")
    return parser
