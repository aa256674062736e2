"""Builds the distributions and checks what is in them: `python tools/package.py [--release] [DIR]`.

Needs git and the packages `build` and `twine`. With `--release` it also checks what RELEASING.md
asks for before an upload.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
URLS = {"Source", "Changelog", "Issues", "Documentation"}


def read(name: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def tracked() -> set[str]:
    """The files under version control."""
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True)
    return {*listed.stdout.split("\0")} - {""}


def wrong_files(wheel: Path, sdist: Path) -> list[str]:
    """What is missing in the distributions, or should not be there."""
    with zipfile.ZipFile(wheel) as file:
        installed = {name for name in file.namelist() if ".dist-info/" not in name}
        about = {name.partition(".dist-info/")[2] for name in file.namelist()} - {""}
    with tarfile.open(sdist) as file:
        source = {m.name.partition("/")[2] for m in file.getmembers() if m.isfile()}
    expected = {name for name in tracked() if name.startswith("keras_gdx/")}
    made = {"PKG-INFO", "setup.cfg"} | {name for name in source if ".egg-info/" in name}
    apart = {".gitignore", *(name for name in tracked() if name.startswith(".github/"))}
    return [
        *(f"the wheel lacks {name}" for name in sorted(expected - installed)),
        *(f"the wheel has {name}" for name in sorted(installed - expected)),
        *(
            f"the wheel lacks {n}"
            for n in ("licenses/LICENSE", "entry_points.txt")
            if n not in about
        ),
        *(f"the sdist lacks {name}" for name in sorted(tracked() - apart - source)),
        *(f"the sdist has {name}" for name in sorted(source - tracked() - made)),
    ]


def wrong_links(wheel: Path) -> list[str]:
    """Links of the long description that lead nowhere on a package index."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (n for n in file.namelist() if n.endswith(".dist-info/METADATA"))
        text = message_from_bytes(file.read(name)).get_payload()
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    return [f"the README links to {link}" for link in links if not re.match("https?://|#", link)]


def unfinished(version: str) -> list[str]:
    """What RELEASING.md asks for and is not done."""
    urls = {*tomllib.loads(read("pyproject.toml"))["project"].get("urls", {})}
    dated = re.search(rf"^## {re.escape(version)}, \d{{4}}-\d\d-\d\d$", read("CHANGELOG.md"), re.M)
    citation = read("CITATION.cff")
    return [
        *(f"pyproject.toml has no [project.urls] {name}" for name in sorted(URLS - urls)),
        *([] if dated else [f"CHANGELOG.md has no date for {version}"]),
        *(
            f"CITATION.cff has no {x}"
            for x in ("date-released", "repository-code")
            if x not in citation
        ),
    ]


def main() -> int:
    """Builds and checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--release", action="store_true", help="check RELEASING.md too")
    parser.add_argument("folder", nargs="?", help="where the distributions go; without it, nowhere")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(given.folder or temporary)
        build = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        version = re.search(r'__version__ = "(.+)"', read("keras_gdx/_version.py"))[1]
        wheel = folder / f"keras_gdx-{version}-py3-none-any.whl"
        sdist = folder / f"keras_gdx-{version}.tar.gz"
        wrong = [*wrong_files(wheel, sdist), *wrong_links(wheel)]
        if f"\nversion: {version}\n" not in read("CITATION.cff"):
            wrong.append(f"CITATION.cff has another version than {version}")
        wrong += unfinished(version) if given.release else []
        check = [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)]
        failed = subprocess.run(check).returncode
    print("\n".join(wrong) or f"keras_gdx {version} is packaged as it should be.")
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
