# ruff: noqa: D103 - pytest defines what its hooks do
"""A pytest plugin that prints what the tests cost: by file, by test and by rule.

    python -m pytest -p tools.test_cost [arguments of pytest]

CPU seconds include those of processes that a test has started. Traces are those of `tf.function`:
tracing and compiling are nearly all of the cost.
"""

import os
import resource
from collections import defaultdict
from pathlib import Path

import pytest

NAME = "test_cost"
ROWS = 30  # of the table of tests
MIB = 2**10  # `ru_maxrss` is in KiB


class Cost:
    """What a number of tests have used."""

    def __init__(self):
        self.tests = self.cpu = self.wall = self.traces = 0

    def add(self, cpu, wall, traces):
        self.tests += 1
        self.cpu += cpu
        self.wall += wall
        self.traces += traces

    def __str__(self):
        return f"{self.tests:6}{self.cpu:9.1f}{self.wall:9.1f}{self.traces:8}"


START = pytest.StashKey()
by_file, by_test, by_rule = (defaultdict(Cost) for _ in range(3))
peaks = {}
traces = 0


def pytest_configure():
    """Counts traces; not before `tests/conftest.py` is loaded, which prepares TensorFlow."""
    try:
        from tensorflow.python.eager.polymorphic_function import tracing_compilation
    except ImportError:  # another backend
        return
    trace = tracing_compilation._create_concrete_function

    def counted(*args):
        global traces
        traces += 1
        return trace(*args)

    tracing_compilation._create_concrete_function = counted


def now():
    """CPU seconds, wall seconds and traces of this process until now."""
    times = os.times()
    return sum(times[:4]) + sum(map(used_by, children())), times.elapsed, traces


def children():
    """The processes that this one has started and not waited for, where Linux lists them."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return listed.read_text().split() if listed.exists() else []


def used_by(child):
    """Its CPU seconds, with those of the processes that it has started and waited for."""
    try:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    item.stash[START] = now()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """The last report of a test takes its cost along, from wherever it was run."""
    report = yield
    if call.when == "teardown":
        used = [after - before for before, after in zip(item.stash[START], now(), strict=True)]
        rule = getattr(item, "callspec", None) and item.callspec.params.get("rule")
        rule = rule if isinstance(rule, str) else None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
        report.user_properties.append((NAME, (used, rule, os.getpid(), peak)))
    return report


def pytest_runtest_logreport(report):
    for name, value in report.user_properties:
        if name == NAME and report.when == "teardown":
            used, rule, process, peak = value
            file, _, test = report.nodeid.partition("::")
            test = test.partition("[")[0].partition("@")[0]  # not its parameters, nor its group
            by_file[file].add(*used)
            by_test[f"{file}::{test}"].add(*used)
            by_rule[rule or "(none)"].add(*used)
            peaks[process] = peak


def pytest_terminal_summary(terminalreporter):
    for title, costs in (("file", by_file), ("test", by_test), ("rule", by_rule)):
        terminalreporter.section(f"cost by {title}")
        terminalreporter.line(f"{'tests':>6}{'CPU s':>9}{'wall s':>9}{'traces':>8}")
        rows = sorted(costs.items(), key=lambda row: -row[1].cpu)
        for name, cost in rows[:ROWS] if costs is by_test else rows:
            terminalreporter.line(f"{cost}  {name}")
    cpu = sum(cost.cpu for cost in by_file.values())
    peak = ", ".join(f"{peak:.0f}" for peak in peaks.values())
    terminalreporter.line(f"{cpu:.0f} CPU s in all; peak memory of each process in MiB: {peak}")
