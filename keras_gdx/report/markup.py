"""Builds HTML with escaped text."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from keras_gdx.arguments import is_number

Row = Mapping[str, Any]
FIRST, LAST = 3, 7  # visible rows of a long table


class Html(str):
    """A string that is already HTML."""


class Quantity(str):
    """A text, and the number by which it is sorted."""

    value: float

    def __new__(cls, text: str, value: float) -> Self:
        """Creates the text."""
        created = super().__new__(cls, text)
        created.value = value
        return created


def element(tag: str, *content: object, **attributes: object) -> Html:
    """An HTML element; content that is not `Html` is escaped.

    Example:
        >>> element("p", "a < b, ", element("b", "c"), class_="note")
        '<p class="note">a &lt; b, <b>c</b></p>'
    """
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    given = "".join(f' {names[n]}="{html.escape(str(v))}"' for n, v in attributes.items())
    return Html(
        f"<{tag}{given}>" + ("" if tag in ("img", "meta") else f"{joined(content)}</{tag}>")
    )


def joined(parts: Iterable[object]) -> Html:
    """Joins pieces of HTML."""
    return Html("".join(p if isinstance(p, Html) else html.escape(str(p)) for p in parts))


def said(value: Any) -> str:
    """Formats a value for readers.

    Example:
        >>> said(0.1 + 0.2), said(1234567), said(None), said((1, "same"))
        ('0.3', '1,234,567', 'none', '[1, same]')
        >>> said({"class_name": "Cosine", "config": {"initial": 0.1}})
        'Cosine(initial=0.1)'
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_number(value):
        return f"{value:,.0f}" if value == value // 1 and abs(value) < 1e12 else f"{value:.5g}"
    if isinstance(value, dict) and "class_name" in value:
        return _object(value["class_name"], value.get("config"))
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {said(each)}' for name, each in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(said, value))}]"
    return str(value)


def _object(name: str, config: Any) -> str:
    """Formats an object or function that Keras serialized."""
    if name == "__lambda__":
        return "a lambda"
    if not isinstance(config, dict):
        return str(config)
    return f"{name}({', '.join(f'{key}={said(value)}' for key, value in config.items())})"


def table(caption: str, rows: Sequence[Row], sortable: bool = False) -> Html:
    """A table with one row per dictionary; of a long table the middle is collapsed.

    Args:
        caption: Its caption.
        rows: Its rows.
        sortable: Whether the script `SORT` of `report.sorting` may sort it; nothing is collapsed.
    """
    names = [*dict.fromkeys(name for row in rows for name in row)]
    texts = {n for row in rows for n, v in row.items() if not (is_number(v) or v == "")}
    kinds = {name: "text" if name in texts else "number" for name in names}
    lines = [_line(kinds, row) for row in rows]
    if sortable:
        return _table(caption, kinds, lines, class_="sortable")
    if len(rows) <= FIRST + LAST:
        return _table(caption, kinds, lines)
    between = lines[FIRST:-LAST]
    note = f"{len(between):,} rows between are left out here; the file has them below, folded."
    cell = element("td", note, colspan=len(names), class_="cut")
    whole = _table(caption, kinds, [*lines[:FIRST], element("tr", cell), *lines[-LAST:]])
    title = f"The {len(between):,} rows between"
    folded = _table(f"{caption}: the rows between", kinds, between)
    return joined([whole, element("details", element("summary", title), folded)])


def _table(
    caption: str, kinds: Mapping[str, str], lines: Sequence[Html], **attributes: str
) -> Html:
    columns = [element("th", n, scope="col", class_=kind) for n, kind in kinds.items()]
    head = element("tr", *columns)
    inside = [element("caption", caption), element("thead", head), element("tbody", *lines)]
    # A table wider than the screen scrolls by itself; focus allows scrolling with the keyboard.
    return element("div", element("table", *inside, **attributes), class_="wide", tabindex="0")


def _line(kinds: Mapping[str, str], row: Row) -> Html:
    values = [(row.get(name, ""), kind) for name, kind in kinds.items()]
    (first, kind), *rest = values
    cells = [element("td", said(x), class_=kind, **_order(x)) for x, kind in rest]
    return element("tr", element("th", said(first), scope="row", class_=kind), *cells)


def _order(value: Any) -> dict[str, float]:
    return {"data_value": value.value} if isinstance(value, Quantity) else {}


def finite(values: Iterable[float]) -> list[float]:
    """The finite values."""
    return [value for value in values if math.isfinite(value)]
