"""The long description: the README, as it reads outside of the repository.

Everything else is in pyproject.toml and setup.cfg.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
LINK = r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)"


def long_description() -> str:
    """The README with absolute links; without them as long as the repository has no address."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        source = tomllib.load(file)["project"].get("urls", {}).get("Source")
    version = re.search(
        r'__version__ = "(.+)"', (ROOT / "keras_gdx/_version.py").read_text("utf-8")
    )[1]

    def absolute(link: re.Match) -> str:
        image, text, path = link.groups()
        if source is None:
            return "" if image else text
        return f"{image}[{text}]({source}/{'raw' if image else 'blob'}/v{version}/{path})"

    parts = re.split(r"(^```.*?^```$)", (ROOT / "README.md").read_text("utf-8"), flags=re.M | re.S)
    return "".join(p if p.startswith("```") else re.sub(LINK, absolute, p) for p in parts)


setup(long_description=long_description(), long_description_content_type="text/markdown")
