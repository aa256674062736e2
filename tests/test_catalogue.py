"""The generated files agree with the registry."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOL = runpy.run_path(str(ROOT / "tools" / "catalogue.py"))
FILES = {str(path.relative_to(ROOT)): (path, text) for path, text in TOOL["files"]().items()}


@pytest.mark.parametrize("name", FILES)
def test_is_fresh(name):
    if not TOOL["is_fresh"](*FILES[name]):
        pytest.fail(f"{name} is stale. Run `{TOOL['COMMAND']}`.", pytrace=False)


def test_every_public_folder_has_its_names_written_down():
    stubs = {Path(name).parent.name for name in FILES if name.endswith(".pyi")}
    assert stubs >= {"optimizers", "modifiers", "schedules", "callbacks", "regularizers"}
