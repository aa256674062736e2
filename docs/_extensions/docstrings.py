"""Docstrings as Sphinx wants them: formulas, sections of one line, links to arXiv, signatures."""

import re
from inspect import cleandoc
from textwrap import indent

from sphinx.util import inspect

from keras_gdx.config import Configured
from keras_gdx.formulas import markup

LINE_SECTION = r"^(Memory|Source|Verified against):\s+(.+(?:\n(?![A-Z][a-z ]*:)\S.*)*)"


def translated(text):
    """The same text in reStructuredText; Napoleon does the rest."""
    text = re.sub(r"^( *)(\S.*):\n\n(?=\1    \S)", r"\1\2::\n\n", text, flags=re.M)  # code
    text = re.sub(r"^( *)\$\$(.+?)\$\$$", _block, text, flags=re.M | re.S)
    text = re.sub(r"(?<!`)\$([^$`]+?)\$", r":math:`\1`", text)
    text = re.sub(LINE_SECTION, _field, text, flags=re.M)
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", text)


def _block(found):
    margin, formula = found.groups()
    return f"\n{margin}.. math::\n\n{indent(formula, margin + '   ')}\n"


def _field(found):
    title, text = found.groups()
    return f"\n:{title}: {' '.join(text.split())}\n"


def process(app, what, name, thing, options, lines):
    """Replaces the lines of a docstring."""
    if what == "class" and app.env.current_document.docname.startswith("optimizers/"):
        lines.clear()  # the page itself is the docstring
        return
    source = cleandoc(markup(thing)) if what in ("class", "function") else "\n".join(lines)
    lines[:] = translated(source).splitlines()


def signature(app, what, name, thing, options, shown, returned):
    """The arguments of a class, which `Configured.__new__` hides."""
    if what == "class" and issubclass(thing, Configured):
        shown = "()"
        if thing.__init__ is not object.__init__:
            found = inspect.signature(thing.__init__, bound_method=True)
            shown = inspect.stringify_signature(found, show_annotation=False)
    return shown, returned


def skip(app, what, name, thing, skipped, options):
    """Leaves out what Keras calls, not a user."""
    return True if name.startswith("on_") else None


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", process, priority=400)  # before Napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
