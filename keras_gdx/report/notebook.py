"""The blocks of a page as what a notebook shows of a result."""

from keras_gdx.report.markup import Html, element
from keras_gdx.report.style import LINES

STYLE = Html(
    f"""
.keras-gdx {{ {LINES} --ink: currentColor; --soft: currentColor;
  --grid: color-mix(in srgb, currentColor 18%, transparent);
  --quiet: color-mix(in srgb, currentColor 55%, transparent); max-width: 64rem }}
.keras-gdx .wide {{ overflow: auto; max-height: 26rem; margin: .6rem 0 }}
.keras-gdx table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0 }}
.keras-gdx caption {{ text-align: left; font-weight: 600; white-space: nowrap }}
.keras-gdx th, .keras-gdx td {{ text-align: left; padding: .2rem 1rem .2rem 0;
  vertical-align: top; white-space: nowrap; border-bottom: 1px solid var(--grid) }}
.keras-gdx td.text {{ white-space: normal; min-width: 8rem }}
.keras-gdx tbody th {{ font-weight: 400; white-space: normal; max-width: 14rem;
  overflow-wrap: anywhere }}
.keras-gdx th.number, .keras-gdx td.number {{ text-align: right }}
.keras-gdx .charts {{ display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)) }}
.keras-gdx figure {{ margin: 0 }}
.keras-gdx figure > svg {{ display: block; width: 100%; height: auto }}
.keras-gdx figure text {{ fill: var(--ink); font-family: system-ui, sans-serif }}
.keras-gdx p {{ margin: .3rem 0 }}
.keras-gdx .note {{ font-size: .85em; opacity: .75 }}
.keras-gdx .key {{ margin-right: 1rem }}
.keras-gdx .swatch {{ width: 1.6em; height: .65em; margin-right: .35em; fill: none;
  stroke-width: 2 }}
"""
)


def notebook(*blocks: Html) -> str:
    """Returns the blocks with a style of their own, in the colors of the notebook's theme."""
    return element("div", element("style", STYLE), *blocks, class_="keras-gdx")
