"""`python -m keras_gdx.distribute --workers 2 train.py ...` starts workers on this machine."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_gdx.distribute.cluster import launch


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and starts the workers; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_gdx.distribute",
        description="Runs a script as several workers of one cluster, on this machine, watches "
        "them, and starts all again if one is lost.",
    )
    parser.add_argument("--workers", type=int, default=2, help="how many (2)")
    parser.add_argument("--restarts", type=int, default=3, help="of all of them, at most (3)")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds to end in (10)")
    parser.add_argument("script", help="Python program that each of them runs")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    given = parser.parse_args(arguments)
    script = Path(given.script)
    if not script.is_file():
        parser.error(f"there is no script {given.script}")
    if script.suffix == ".py":  # what cannot be run is not tried again
        try:
            compile(script.read_bytes(), given.script, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            parser.error(f"the script is not Python: {error}")
    command = [sys.executable, given.script, *given.arguments]
    try:
        return launch(command, given.workers, given.restarts, given.grace)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
