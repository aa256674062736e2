"""CONTRIBUTING.md, followed to the letter in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
GUIDES = re.findall(r"^## (Add a .+?)\n(.*?)(?=^## )", PAGE, re.M | re.S)
COPIED = ("keras_gdx", "tests", "tools", "docs", "examples", "benchmarks")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository, with the files that the page writes."""
    root = tmp_path_factory.mktemp("copy")
    for folder in COPIED:
        ignored = shutil.ignore_patterns("*.egg-info")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    for file in [*ROOT.glob("*.md"), *ROOT.glob("*.cfg"), ROOT / "pyproject.toml"]:
        shutil.copy(file, root)
    for _, guide in GUIDES:
        for path, code in files_of(guide):
            (root / path).write_text(code, encoding="utf-8")
    return root


def files_of(guide):
    """The files of a guide: each `python` block belongs to the path named last before it."""
    for block in re.finditer(r"^```python\n(.*?)^```", guide, re.M | re.S):
        path = re.findall(r"`((?:keras_gdx|tests)/[\w/]+\.py)`", guide[: block.start()])[-1]
        test = re.findall(r"`(tests/reference/\w+\.py)`", guide[: block.start()])
        yield (test[-1] if "HYPER" in block[1] else path), block[1]


def commands_of(guide):
    blocks = re.findall(r"^```bash\n(.*?)^```", guide, re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


def test_the_page_has_guides_with_files_and_commands():
    files = [path for _, guide in GUIDES for path, _ in files_of(guide)]
    kinds = {Path(path).parent.name for path in files}
    assert kinds == {"optimizers", "modifiers", "schedules", "callbacks", "reference"}
    assert all(commands_of(guide) for _, guide in GUIDES)
    assert not [path for path in files if (ROOT / path).exists()]


@pytest.mark.parametrize("guide", [text for _, text in GUIDES], ids=[title for title, _ in GUIDES])
def test_every_command_succeeds(copy, guide):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(copy)}
    for command in commands_of(guide):
        done = subprocess.run(
            command, shell=True, cwd=copy, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-5000:]}{done.stderr[-3000:]}"
        if "pytest" in command:
            (passed,) = re.findall(r"(\d+) passed", done.stdout)
            assert int(passed) > 5, done.stdout[-500:]
