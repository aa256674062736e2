"""Formulas as MathML, which browsers draw by themselves: no script and no network.

The translation is that of Docutils, on which Sphinx is built anyway; `site.css` names the font.
"""

from html import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)


def translated(node, as_block):
    """The formula of a node; as written, with a warning, if Docutils does not know a command."""
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        LOGGER.warning("formula: %s", error, location=node)
        return f"<code>{escape(node.astext())}</code>"


def visit_inline(writer, node):
    """Writes `$...$`."""
    writer.body.append(translated(node, as_block=False))
    raise nodes.SkipNode


def visit_block(writer, node):
    """Writes `$$...$$`; one that is wider than the screen can be scrolled."""
    writer.body.append(f'<div class="formula" tabindex="0">{translated(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
