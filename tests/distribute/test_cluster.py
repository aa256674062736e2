"""Real processes that are started, lost, unresponsive and orphaned. Most need no TensorFlow."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_gdx.distribute import __main__ as command_line
from keras_gdx.distribute import guard, output
from keras_gdx.distribute.cluster import free_ports, launch
from tests.programs import ROOT, Program

SECONDS = 60  # timeout for what takes one or two seconds on an idle machine
HEAD = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
folder = Path(sys.argv[1])
attempt = len([*folder.glob(f"begun-{index}-*")])
(folder / f"begun-{index}-{attempt}").write_text(str(os.getpid()))

def together(pattern=f"begun-*-{attempt}"):
    while len([*folder.glob(pattern)]) < len(config["cluster"]["worker"]):
        time.sleep(0.005)

"""


def program(folder, text):
    """The command of a worker that runs `text`, with `index`, `attempt` and `folder` defined."""
    script = folder / "script.py"
    script.write_text(HEAD + text)
    return [sys.executable, str(script), str(folder)]


def until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def pids(folder, pattern="begun-*"):
    return [int(path.read_text()) for path in folder.glob(pattern) if path.read_text()]


def begun(folder, count=2):
    """Waits until that many have started; returns their process ids."""
    until(lambda: len(pids(folder)) >= count, "they do not begin")
    return pids(folder)


def gone(folder):
    until(lambda: not any(map(is_alive, pids(folder))), "somebody is left")


@pytest.fixture
def supervisor(tmp_path):
    """A function that starts a supervisor as a separate process."""
    started = []

    def start(text, *options):
        command = program(tmp_path, text)[1:]
        started.append(
            Program("-m", "keras_gdx.distribute", *options, *command, PYTHONPATH=str(ROOT))
        )
        return started[-1]

    yield start
    for each in started:
        each.kill()
    gone(tmp_path)


def test_workers_know_each_other_and_are_heard(tmp_path, capfd):
    text = "print(index, json.dumps(config['cluster']), config['task']['type'], sys.argv[2:])"
    assert launch([*program(tmp_path, text), "more", "--this"], 3) == 0
    lines = sorted(capfd.readouterr().out.splitlines())
    assert [line[:12] for line in lines] == [f"[worker {i}] {i}" for i in range(3)]
    clusters = {line.partition("{")[2].partition("}")[0] for line in lines}
    assert len(clusters) == 1
    addresses = json.loads("{" + clusters.pop() + "}")["worker"]
    assert len({*addresses}) == 3
    assert all(line.endswith("worker ['more', '--this']") for line in lines)


LOST = {
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL", 137),
    "failed": ("sys.exit(3)", "ended with code 3", 3),
    "stopped": ("sys.exit(75)", "has saved and asks to be started again (75)", 75),
}


@pytest.mark.parametrize("how", LOST)
def test_one_that_is_lost_is_started_again_with_the_others(how, tmp_path, capfd):
    end, said, _ = LOST[how]
    text = f"together()\nif index == 1 and attempt == 0: {end}\nif attempt == 0: time.sleep(600)"
    assert launch(program(tmp_path, text), restarts=1) == 0
    assert len(pids(tmp_path)) == 4
    gone(tmp_path)
    told = [x for x in capfd.readouterr().out.splitlines() if x.startswith("[cluster]")]
    assert told == [
        f"[cluster] worker 1 {said}; stopping the others",
        "[cluster] starting all again, 1 of 1 times",
    ]


@pytest.mark.parametrize("how", LOST)
def test_after_the_last_attempt_the_code_is_that_of_the_first_to_fail(how, tmp_path):
    end, _, code = LOST[how]
    text = f"together()\nif index == 0: {end}\ntime.sleep(600)"
    assert launch(program(tmp_path, text), restarts=1) == code
    assert len(pids(tmp_path)) == 4
    gone(tmp_path)


def test_every_attempt_has_other_ports(tmp_path):
    text = "(folder / f'at-{attempt}').write_text(str(config['cluster']))\nsys.exit(attempt < 1)"
    launch(program(tmp_path, text), 1, restarts=1)
    assert len({(tmp_path / f"at-{i}").read_text() for i in range(2)}) == 2


DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def test_one_that_does_not_listen_is_killed(tmp_path):
    """It is stopped only after it has written that it ignores the signal."""
    text = DEAF + (
        "(folder / f'deaf-{index}').write_text('')\n"
        "while not (folder / 'deaf-0').exists(): time.sleep(0.01)\n"
        "sys.exit(1) if index == 1 else time.sleep(600)"
    )
    began = time.monotonic()
    assert launch(program(tmp_path, text), restarts=0, grace=0.5) == 1
    assert time.monotonic() - began > 0.4
    gone(tmp_path)


CHILD = (
    "import subprocess\n"
    f"child = subprocess.Popen([sys.executable, '-c', '''import signal, time\n{DEAF}"
    "print(1, flush=True)\ntime.sleep(600)'''], stdout=subprocess.PIPE)\n"
    "child.stdout.read(1)\n"
    "(folder / f'begun-child-{index}').write_text(str(child.pid))\n"
    "together('begun-child-*')\n"
)


@pytest.mark.parametrize("end", ["pass", "sys.exit(1)"])
def test_what_a_worker_has_started_ends_with_it(end, tmp_path):
    assert launch(program(tmp_path, CHILD + end), restarts=0) == (end != "pass")
    assert len(pids(tmp_path, "begun-child-*")) == 2
    gone(tmp_path)


def test_a_session_of_its_own_outlives_a_worker(tmp_path, capfd):
    """It holds the pipe of the worker open, one silently and one talking without end."""
    text = (
        "for command in (['sleep', '600'], ['yes']):\n"
        "    child = subprocess.Popen(command, start_new_session=True)\n"
        "    (folder / f'other-{command[0]}').write_text(str(child.pid))\n"
        "sys.exit('the last words')"
    )
    began = time.monotonic()
    try:
        assert launch(program(tmp_path, text), 1, restarts=0) == 1
        assert time.monotonic() - began < SECONDS
        assert is_alive(*pids(tmp_path, "other-sleep"))
    finally:
        for pid in filter(is_alive, pids(tmp_path, "other-*")):
            os.kill(pid, signal.SIGKILL)
    assert "[worker 0] the last words" in capfd.readouterr().out


class Reader(io.StringIO):
    """A standard output whose reader answers a word by making a file."""

    def __init__(self, word, answer):
        super().__init__()
        self.word, self.answer = word, answer

    def write(self, text):
        if self.word in text:
            self.answer.touch()
        return super().write(text)


def test_a_progress_bar_is_seen_as_it_moves(tmp_path, monkeypatch):
    text = (
        "print('\\r1/2', end='', flush=True)\n"
        f"end = time.monotonic() + {SECONDS}\n"
        "while not (folder / 'seen').exists():\n"
        "    time.sleep(0.01)\n"
        "    if time.monotonic() > end: sys.exit(1)\n"
        "print('\\r2/2')"
    )
    monkeypatch.setattr(sys, "stdout", seen := Reader("1/2", tmp_path / "seen"))
    assert launch(program(tmp_path, text), 1, restarts=0) == 0
    assert seen.getvalue() == "[worker 0] 1/2\r[worker 0] 2/2\n"


def test_workers_that_nobody_listens_to_are_stopped(tmp_path, monkeypatch):
    text = (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        "together()\nwhile True: print('x' * 1000)"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with monkeypatch.context() as patch, open(writer, "w") as nobody:
        patch.setattr(sys, "stdout", nobody)
        assert launch(program(tmp_path, text), grace=SECONDS) == 75
    assert len(pids(tmp_path)) == 2
    gone(tmp_path)


class Said:
    """A process that has said what it is given, and ended."""

    def __init__(self, chunks):
        reader, writer = os.pipe()
        self.stdout, self.writer = os.fdopen(reader, "rb"), writer
        self.chunks = iter(chunks)

    def poll(self):
        if (chunk := next(self.chunks, None)) is None:
            return 0
        os.write(self.writer, chunk)
        return None


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ([b"a\nb"], "[w] a\n[w] b\n"),
        ([b"a", b"b\n"], "[w] ab\n"),
        ([b"a\r\n\r\n"], "[w] a\n[w] \n"),
        ([b"a\r", b"\nb\n"], "[w] a\n[w] b\n"),
        ([b"\r1", b"\r2", b"\n"], "[w] 1\r[w] 2\n"),
        ([b"1\r", b"2\r", b"3\n"], "[w] 1\r[w] 2\r[w] 3\n"),
        ([b"\r1", b"0"], "[w] 1\r[w] 10\n"),
        ([b"1\r  \ra\n"], "[w] 1\r[w] a\n"),
        ([b"x" * 60_000, b"x" * 10_000, b"y"], f"[w] {'x' * 70_000}\n[w] y\n"),
        ([b"\xff\n"], "[w] \N{REPLACEMENT CHARACTER}\n"),
    ],
    ids=str,
)
def test_lines_and_what_overwrites_them(said, heard, capsys):
    process = Said(said)
    output.pass_on(process, "w", output.Output([]))
    process.stdout.close()
    os.close(process.writer)
    assert capsys.readouterr().out == heard


def test_an_open_line_ends_when_another_speaks(capsys):
    both = output.Output([])
    for who, text in (("a", "1"), ("a", "2"), ("b", "1"), ("a", "3")):
        both.show(who, text)
    both.line("b", "end")
    assert capsys.readouterr().out == "[a] 1\r[a] 2\n[b] 1\n[a] 3\n[b] end\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_handed_on_and_nothing_started_again(number, supervisor, tmp_path):
    text = (
        "def save(*_):\n    print('saved')\n    sys.exit(75)\n"
        f"signal.signal({int(number)}, save)\n"
        "(folder / f'ready-{index}').write_text('')\ntime.sleep(600)"
    )
    process = supervisor(text)
    until(lambda: len([*tmp_path.glob("ready-*")]) == 2, "they do not begin")
    process.send_signal(number)
    assert process.wait(SECONDS) == 75
    said = process.output() + process.errors()
    assert sorted(x for x in said.splitlines() if "worker" in x) == [
        "[worker 0] saved",
        "[worker 1] saved",
    ]
    assert f"[cluster] stopped by {number.name}" in said
    assert len(pids(tmp_path)) == 2


def test_a_signal_that_ends_them_is_the_code(supervisor, tmp_path):
    process = supervisor("time.sleep(600)")
    begun(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 128 + signal.SIGTERM


@pytest.mark.parametrize("listens", [True, False])
def test_nothing_outlives_a_supervisor_that_is_killed(listens, supervisor, tmp_path):
    process = supervisor(CHILD + ("" if listens else DEAF) + "time.sleep(600)", "--grace", "0.5")
    begun(tmp_path, 4)
    process.kill()
    gone(tmp_path)


def test_a_signal_at_once_is_handed_on(tmp_path):
    """A signal that comes before the child exists waits for it."""
    text = "import os, sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)"
    lost = []
    for attempt in range(40):
        begun = tmp_path / str(attempt)
        command = [sys.executable, guard.__file__, "5", sys.executable, "-c", text, str(begun)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, preexec_fn=guard.block)
        time.sleep(0.002 * attempt)
        process.send_signal(signal.SIGTERM)
        code = process.wait(SECONDS)
        process.stdin.close()
        if code != 128 + signal.SIGTERM:
            lost.append((attempt, code))
    assert not lost


def test_a_guard_loads_nothing_but_python():
    text = f"import runpy, sys; runpy.run_path({guard.__file__!r}); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", text], text=True).split()
    assert not {"keras_gdx", "keras", "tensorflow", "numpy"} & {*loaded}


def test_ports_are_free_and_different():
    ports = free_ports(20)
    assert len({*ports}) == 20
    assert all(port > 1023 for port in ports)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"command": []}, "command"), ({"command": "train.py"}, "command"),
        ({"command": [1]}, "command"), ({"workers": 0}, "workers"), ({"workers": 1.5}, "workers"),
        ({"restarts": -1}, "restarts"), ({"grace": -1}, "grace"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"Argument `{name}`"):
        launch(**{"command": ["true"]} | arguments)


def test_windows_is_told_what_to_do(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("os.name", "nt")
        with pytest.raises(OSError, match="Start each worker yourself, with its TF_CONFIG"):
            launch(["true"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.py"], "there is no script nowhere.py"),
        (["--workers", "0", __file__], "`workers` must be an integer >= 1"),
        (["--grace", "-1", __file__], "`grace` must be a number >= 0"),
        ([], "required: script"),
    ],
    ids=str,
)
def test_bad_command_lines(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        command_line.main(words)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_a_script_that_is_not_python_is_not_tried(tmp_path, capsys):
    script = tmp_path / "train.py"
    script.write_text("\ndef f(:\n")
    with pytest.raises(SystemExit) as end:
        command_line.main([str(script)])
    assert end.value.code == 2
    assert "the script is not Python: invalid syntax (train.py, line 2)" in capsys.readouterr().err
