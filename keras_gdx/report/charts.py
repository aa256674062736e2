"""SVG charts that use the page's colors.

matplotlib draws only lines, grid and tick labels, in placeholder colors. User-defined names are
text of the page around the chart.
"""

import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from keras_gdx.report.markup import Html, element, finite, said

INK, GRID, CUT = "#fffff1", "#fffff2", "#fffff3"
COLOURS = {INK: "var(--ink)", GRID: "var(--grid)", CUT: "var(--quiet)"}
DASHES = ("", "5 2.5", "1.5 1.5", "6 2 1.5 2")  # line styles that can be told apart without color
FEW = len(DASHES)  # maximum of lines with distinct styles; more get a color ramp
SIZE = (3.9, 2.3)  # inches
HOVER = "hover:"  # an artist with this and a text as its `gid` shows the text under the pointer
MANY = 30  # lines with more points get no markers
STYLE = {
    "svg.fonttype": "none", "font.size": 9,
    "axes.edgecolor": GRID, "axes.labelcolor": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.6,
    "axes.axisbelow": True, "xtick.color": GRID, "ytick.color": GRID, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}  # fmt: skip


class Line(NamedTuple):
    """A line of a chart; non-finite values leave a gap."""

    name: str
    x: list[float]
    y: list[float]


def figure(title: str, lines: Sequence[Line], unit: str, cuts: Sequence[float] = ()) -> Html:
    """A chart with title, legend and a description in words.

    Args:
        title: Title of the chart.
        lines: List of `Line`.
        unit: Unit of the horizontal axis, such as `"epoch"`.
        cuts: Positions on it where the run was interrupted.
    """
    logarithmic = spans_magnitudes([value for line in lines for value in line.y])
    svg = drawing(lines, unit, cuts, logarithmic, f"{title} by {unit}. {in_words(lines, unit)}")
    notes = ["Logarithmic scale."] if logarithmic else []
    notes += gaps(lines, unit)
    caption = element("p", element("strong", title), *key(lines), class_="title")
    below = [element("p", " ".join(notes), class_="note")] if notes else []
    return element("figure", element("figcaption", caption), svg, *below)


def drawing(
    lines: Sequence[Line], unit: str, cuts: Sequence[float], logarithmic: bool, words: str
) -> Html:
    """The lines as an SVG element."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    with canvas() as (sheet, axes):
        for place, line in enumerate(lines):
            y = [value if math.isfinite(value) else math.nan for value in line.y]
            marked = len(y) <= MANY or len(finite(y)) < len(y)
            axes.plot(
                line.x, y, color=sentinel(place), linewidth=1.6, markersize=2.6,
                marker="o" if marked else "", clip_on=False,
                linestyle=dash(place) if len(lines) <= FEW else "-",
            )  # fmt: skip
        places = [x for line in lines for x in line.x]
        space = (max(places) - min(places)) / 40 or 0.5
        axes.set_xlim(min(places) - space, max(places) + space)
        for cut in cuts:
            axes.axvline(cut, color=CUT, linewidth=1, linestyle=(0, (2, 2)))
        if logarithmic:
            log_scale(axes, "y")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel(unit)
        return embedded(sheet, [colour(i, len(lines)) for i in range(len(lines))], words)


@contextmanager
def canvas(height: float = SIZE[1]) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes, in placeholder colors; `embedded` is called before it is left."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]):
        sheet = Figure(figsize=(SIZE[0], height))
        below = 0.2 * SIZE[1] / height
        axes = sheet.add_axes((0.15, below, 0.8, 1 - 1.2 * below))
        axes.tick_params(length=0)
        yield sheet, axes


def embedded(sheet: Any, colours: Sequence[str], words: str) -> Html:
    """A figure as an SVG element.

    Args:
        sheet: The figure; its axes are completed.
        colours: What replaces the placeholders of the lines, as CSS.
        words: The figure in words.
    """
    from matplotlib.ticker import FuncFormatter, ScalarFormatter

    (axes,) = sheet.axes
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_formatter(), ScalarFormatter):
            axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    sheet.savefig(file, format="svg", transparent=True, metadata=nothing)
    return inline(file.getvalue(), colours, words)


def log_scale(axes: Any, side: Literal["x", "y"]) -> None:
    """Makes an axis logarithmic, when everything is drawn, with labels that do not overlap.

    matplotlib labels powers of ten, which a short axis may not have, and may write others between
    them, one over the other.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    getattr(axes, f"set_{side}scale")("log")
    low, high = getattr(axes, f"get_{side}lim")()
    decades = math.log10(high / low)
    subs = (1,) if decades > 2 else (1, 3) if decades > 1.3 else (1, 2, 5)
    axis = getattr(axes, f"{side}axis")
    axis.set_major_locator(LogLocator(subs=subs) if decades > 0.5 else MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axis.set_minor_formatter(NullFormatter())


def dash(place: int) -> Any:
    """The line style of a place, for matplotlib."""
    pattern = [float(length) / 1.6 for length in DASHES[place % FEW].split()]
    return (0, pattern) if pattern else "-"


def sentinel(place: int) -> str:
    """The placeholder for a line's color; not black, which matplotlib omits from the file."""
    return f"#{place + 1:06x}"


def short(value: float) -> str:
    """Formats a tick label.

    Example:
        >>> short(0.1 + 0.2), short(1e-7), short(2500000)
        ('0.3', '1e-7', '2.5e6')
    """
    plain = value == 0 or 1e-3 <= abs(value) < 1e5
    text = f"{value:.8g}" if plain else f"{value:.5e}"
    return re.sub(r"\.?0*e([+-])0*", lambda e: "e" + e[1].strip("+"), text)


def colour(place: int, count: int) -> str:
    """The color of a line, as CSS."""
    if count <= FEW:
        return f"var(--line-{place})"
    share = round(100 * place / (count - 1))
    return f"color-mix(in oklab, var(--line-1) {share}%, var(--line-0))"


def inline(text: str, colours: Sequence[str], words: str) -> Html:
    """Converts matplotlib's SVG to an element of the page, with the page's colors and fonts."""
    inside = text[text.index("<g id=") : text.rindex("</svg>")]
    inside = re.sub(rf'<g id="{HOVER}([^"]*)">', r'<g class="hover"><title>\1</title>', inside)
    inside = re.sub(r' id="(?![mp][0-9a-f]{10}")[^"]*"', "", inside)  # others repeat in every chart
    inside = re.sub(r"font-family: [^;]*; ", "", inside)
    known = COLOURS | {sentinel(place): css for place, css in enumerate(colours)}
    inside = re.sub(r"(?<=: )#[0-9a-f]{6}", lambda found: known.get(found[0], found[0]), inside)
    inside = re.sub(r"\s*\n\s*", " ", inside)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0]
    box = f"0 0 {width} {height}"
    return element("svg", Html(inside), viewBox=box, role="img", aria_label=words)


# -- in words --------------------------------------------------------------------------------


def key(lines: Sequence[Line]) -> list[Html]:
    """The legend."""
    if len(lines) == 1:
        return []
    if len(lines) <= FEW:
        return [_sample(place, line.name, len(lines)) for place, line in enumerate(lines)]
    ends = (0, lines[0].name), (len(lines) - 1, f"{lines[-1].name} ({len(lines)} lines)")
    return [_sample(place, name, len(lines)) for place, name in ends]


def _sample(place: int, name: str, count: int) -> Html:
    return sample(name, colour(place, count), DASHES[place % FEW] if count <= FEW else "")


def sample(name: str, colour: str, dashes: str = "") -> Html:
    """An entry of a legend.

    Args:
        name: Its text.
        colour: The color of the line, as CSS.
        dashes: The lengths of its dashes and gaps.
    """
    style = f"stroke: {colour}; stroke-dasharray: {dashes or 'none'}"
    line = Html(f'<path d="M 0 4 H 20" style="{style}"/>')
    swatch = element("svg", line, viewBox="0 0 20 8", class_="swatch", aria_hidden="true")
    return element("span", swatch, name, class_="key")


def in_words(lines: Sequence[Line], unit: str) -> str:
    """Describes a chart in words, for screen readers."""
    names = [f"{line.name}: " if len(lines) > 1 else "" for line in lines]
    words = [name + _course(line, unit) for name, line in zip(names, lines, strict=True)]
    return " ".join(words[: 2 * FEW])


def _course(line: Line, unit: str) -> str:
    good = [(y, x) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if not good:
        return "No finite number."
    (low, low_at), (high, high_at) = min(good), max(good)
    return (
        f"{said(good[0][0])} at first, {said(good[-1][0])} at last, lowest "
        f"{said(low)} in {unit} {low_at}, highest {said(high)} in {unit} {high_at}."
    )


def gaps(lines: Sequence[Line], unit: str) -> Iterator[str]:
    """Describes where values are not finite, which the lines cannot show."""
    for line in lines:
        found = [x for x, y in zip(line.x, line.y, strict=True) if not math.isfinite(y)]
        if found:
            places = ", ".join(f"{x:,}" for x in found[:5])
            more = f" and {len(found) - 5:,} more" if len(found) > 5 else ""
            name = f"{line.name}: n" if len(lines) > 1 else "N"
            yield f"{name}ot finite at {unit} {places}{more}."


def spans_magnitudes(values: Iterable[float]) -> bool:
    """Whether to use a logarithmic scale."""
    good = finite(values)
    return bool(good) and min(good) > 0 and max(good) >= 100 * min(good)
