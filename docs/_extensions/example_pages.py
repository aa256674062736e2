"""Writes a page for each program in `examples`, which is shown there but not run."""

import ast
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
EXAMPLES = DOCS.parent / "examples"
FOLDER = DOCS / "auto" / "examples"
NEW_LINE = "\n"


INDEX = """# Examples

Programs of the folder `examples`. Each prints what it reaches, and is tested. They are not run when
this site is built.

{links}

```{{toctree}}
:hidden:

{names}
```
"""


def pages():
    """The text of each page, by its file."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in EXAMPLES.glob("*.py")}
    trees = {path: trees[path] for path in sorted(trees)}
    links = [
        f"- [{path.name}]({path.stem}.md): {ast.get_docstring(tree).partition(NEW_LINE)[0]}"
        for path, tree in trees.items()
    ]
    names = [path.stem for path in trees]
    yield "index", INDEX.format(links=NEW_LINE.join(links), names=NEW_LINE.join(names))
    for path, tree in trees.items():
        yield path.stem, page(path, tree)


def page(path, tree):
    """What a program says of itself, and its code."""
    lines = path.read_text(encoding="utf-8").splitlines()
    code = NEW_LINE.join(lines[tree.body[0].end_lineno :]).strip()
    return f"# {path.name}\n\n{ast.get_docstring(tree)}\n\n```python\n{code}\n```\n"


def write(app, config):
    """Writes the pages that have changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        path = FOLDER / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app):
    """Called by Sphinx."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
