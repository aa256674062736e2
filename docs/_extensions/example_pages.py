"""Writes a page for each program and notebook in `examples`, which is shown there but not run."""

import ast
import json
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
EXAMPLES = DOCS.parent / "examples"
FOLDER = DOCS / "auto" / "examples"
NEW_LINE, BLANK_LINE = "\n", "\n\n"
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
    """The name of each page and its text."""
    found = {path.name: of_notebook(path) for path in sorted(EXAMPLES.glob("*.ipynb"))}
    programs = (path for path in sorted(EXAMPLES.glob("*.py")) if is_program(path))
    found |= {path.name: of_program(path) for path in programs}
    texts = {Path(name).stem: text for name, text in found.items()}
    links = [
        f"- [{name}]({Path(name).stem}.md): {text.split(BLANK_LINE)[1].partition(NEW_LINE)[0]}"
        for name, text in found.items()
    ]
    yield "index", INDEX.format(links=NEW_LINE.join(links), names=NEW_LINE.join(texts))
    yield from texts.items()


def is_program(path):
    """Whether it can be run, and is no module of the others."""
    return '__name__ == "__main__"' in path.read_text(encoding="utf-8")


def of_program(path):
    """What a program says of itself, and its code."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    code = "\n".join(source.splitlines()[tree.body[0].end_lineno :]).strip()
    summary, _, text = ast.get_docstring(tree).partition("\n")
    return f"# {path.name}\n\n{summary}\n{text}\n\n```python\n{code}\n```\n"


def of_notebook(path):
    """The cells of a notebook, without what they print."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    return "\n\n".join(parts) + "\n"


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
