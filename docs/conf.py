"""Sphinx: the pages of this folder as a site. `python -m sphinx -W -b html docs build/site`."""

import os
import sys
from importlib.resources import files
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_extensions"), str(DOCS.parent)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_gdx import __version__  # noqa: E402

project = "keras_gdx"
author = "the authors of keras_gdx"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    # of this folder
    "api_pages",
    "docstrings",
    "example_pages",
    "mathml",
    "repository_links",
]
exclude_patterns = ["gallery/*", "_*"]
templates_path = ["_templates"]

# -- Markdown
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # `resume.md#several-workers`, as on a Git host

# -- Docstrings
default_role = "py:obj"  # a name in backticks is a link if it is documented, else only code
autodoc_typehints = "none"  # the ranges are in the text
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # Keras documents its own methods
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# -- The gallery, whose programs run; `figures` shows what they draw
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto/gallery",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("figures.scraper",),
    "download_all_examples": False,
    "min_reported_time": 1e6,  # times of this machine tell a reader nothing
    "write_computation_times": False,
    "show_signature": False,
    "remove_config_comments": True,
}

# -- The site
html_theme = "furo"
html_title = "keras_gdx"
html_favicon = "_static/icon.svg"
html_static_path = ["_static", str(files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf")]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# -- External links: `python -m sphinx -b linkcheck docs build/links`, with a network
linkcheck_workers = 2  # most links lead to one server, which refuses those who hurry
linkcheck_retries = 2
linkcheck_timeout = 20
linkcheck_rate_limit_timeout = 60  # the longest wait for it, in seconds
linkcheck_anchors_ignore_for_url = [r"https://github\.com/"]  # scripts make these
