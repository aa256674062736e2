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


def test_pictures_of_rules_have_the_present_settings():
    stale = [path.name for path in TOOL["stale_pictures"]()]
    if stale:
        pytest.fail(f"{stale} are stale. Run `{TOOL['COMMAND']}`.", pytrace=False)


def test_a_picture_with_other_settings_is_stale(tmp_path):
    pictures = TOOL["rule_pictures"]
    path = tmp_path / "adam.svg"
    assert not pictures.is_fresh(path, "adam")
    path.write_text(f"<!-- settings: {pictures.settings('sgd')} -->")
    assert not pictures.is_fresh(path, "adam")
    path.write_text(f"<!-- settings: {pictures.settings('adam')} -->")
    assert pictures.is_fresh(path, "adam")


def test_findings_are_about_rules():
    findings = TOOL["rule_pages"].FINDINGS
    named = {name for each in findings["findings"] for name in each["rules"]}
    assert named <= {entry.name for entry in TOOL["entries_of"]("optimizer")}
    assert {each["source"] for each in findings["findings"]} == findings["sources"].keys()
