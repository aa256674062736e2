"""Links to files of the repository lead to the pages of the site that show them."""

import re

PAGES = {
    "README.md": "/index.md",
    "README.md#how-fast": "/benchmarks.md",
    "README.md#limits": "/limits.md",
    "CONTRIBUTING.md": "/add-a-rule.md",
}
RULE = r"\[Code\]\((?:\.\./)+keras_gdx/optimizers/\w+\.py\) · "
OBJECT = r"\[`(\w+)`\]\((?:\.\./)+keras_gdx/(\w+)/\w+\.py\)"
EXAMPLE = r"\((?:\.\./)+examples/(\w+)\.py\)"
PICTURE = r"\((?:\.\./)*gallery/(\w+)\.py\)"
PAGE = r"\((?:\.\./)+((?:README|CONTRIBUTING)\.md[\w#-]*)\)"


def resolve(app, docname, content):
    """Rewrites the links of a page."""
    text = content[0]
    title = re.search(r"^# (\w+)$", text, re.M)
    text = re.sub(RULE, lambda _: declaration(title[1]), text)
    text = re.sub(OBJECT, r"{py:obj}`\1 <keras_gdx.\2.\1>`", text)
    text = re.sub(EXAMPLE, r"(/auto/examples/\1.md)", text)
    text = re.sub(PICTURE, r"(/auto/gallery/\1.rst)", text)
    content[0] = re.sub(PAGE, lambda found: f"({PAGES[found[1]]})", text)


def declaration(rule):
    """The signature of a rule, with a link to its code; other pages refer to the rule by it."""
    return f"```{{eval-rst}}\n.. autoclass:: keras_gdx.optimizers.{rule}\n```\n\n"


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
