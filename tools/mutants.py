"""Plants faults one at a time, and reports which of them no test notices.

    python tools/mutants.py [--jobs N] [--only TEXT] [--list]

Each fault of `mutants_table.py` changes one place of the package in a copy of the repository, where
the tests that should notice it are run. A fault is *killed* if one of them fails, and *survives* if
all pass. The same tests must pass without it. The exit status is 1 unless every fault is killed.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

sys.path.insert(0, str(Path(__file__).resolve().parent))

from mutants_table import MUTANTS

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("keras_gdx", "tests", "tools", "pyproject.toml", "setup.cfg", "README.md", "docs")
PATIENCE = 900  # seconds for the tests of one fault
KILLED, SURVIVED = "killed", "survived"
OUTCOMES = {0: SURVIVED, 1: KILLED}  # by pytest's exit status; any other: the tests did not run


def main(arguments=None):
    """Tries the faults and prints a table of them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="faults at a time")
    parser.add_argument("--only", default="", help="only faults whose description contains this")
    parser.add_argument("--list", action="store_true", help="print the faults and stop")
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if options.only in f"{m.file}: {m.fault}"]
    if options.list:
        print(*(f"{m.file}: {m.fault}" for m in chosen), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copies: Queue = Queue()
        passing: set[str] = set()  # tests that pass without a fault
        for n in range(options.jobs):
            copies.put(_copy(Path(folder) / str(n)))

        def tried(mutant):
            copy = copies.get()
            try:
                return _try(mutant, copy, passing)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = []
            for mutant, (outcome, seconds) in zip(chosen, pool.map(tried, chosen), strict=True):
                outcomes.append(outcome)
                print(f"{outcome:10} {seconds:4.0f} s  {mutant.file}: {mutant.fault}", flush=True)
    print(f"{outcomes.count(KILLED)} of {len(outcomes)} faults were noticed.")
    return int(outcomes.count(KILLED) < len(outcomes))


def _copy(root):
    root.mkdir()
    for name in COPIED:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=ignored)
        else:
            shutil.copy(source, root / name)
    return root


def _try(mutant, root, passing):
    """Runs the tests of one fault: returns the outcome and the seconds that it took."""
    begin = time.monotonic()
    if mutant.tests not in passing and _status(mutant, root) != 0:
        return "broken", time.monotonic() - begin
    passing.add(mutant.tests)
    path = root / "keras_gdx" / mutant.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(mutant.planted(whole), encoding="utf-8")
    try:
        status = _status(mutant, root)
    finally:
        path.write_text(whole, encoding="utf-8")
    return OUTCOMES.get(status, f"error {status}"), time.monotonic() - begin


def _status(mutant, root):
    """The exit status of the tests."""
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    tests = shlex.split(mutant.tests)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", *tests]
    try:
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, timeout=PATIENCE
        ).returncode
    except subprocess.TimeoutExpired:
        return 1  # training that never ends is noticed, too


if __name__ == "__main__":
    sys.exit(main())
