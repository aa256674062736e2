"""The page's style sheet, for light and dark mode, small screens and print."""

from keras_gdx.report.markup import Html

LINES = """--line-0: #1f6fd6; --line-1: #d9680f; --line-2: #1a8754; --line-3: #9a4fc4;
  --line-4: #b3261e; --line-5: #00798a; --line-6: #8a6d00;"""

STYLE = Html(
    """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f6f7f9; --ink: #1b1f24;
  --soft: #57606a; --grid: #dfe3e8; --quiet: #8b949e; --link: #0b62c4;
  """
    + LINES
    + """
  --good: #16703f; --busy: #0b62c4; --bad: #b3261e }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --card: #1d2127; --ink: #e6e9ed; --soft: #a3adb8; --grid: #363d46;
    --quiet: #7d8792; --link: #79b4ff; --line-0: #6cb0ff; --line-1: #ffa657; --line-2: #5bd08f;
    --line-3: #d3a0f5; --line-4: #ff8f85; --line-5: #4fd0df; --line-6: #e0c04a;
    --good: #5bd08f; --busy: #79b4ff; --bad: #ff8f85 } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 3rem;
  background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: break-word }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; overflow-wrap: anywhere }
h2 { margin: 3rem 0 1rem; padding-bottom: .3rem; border-bottom: 2px solid var(--grid);
  font-size: 1.35rem }
h3 { margin: 2rem 0 .8rem; font-size: 1.05rem }
a { color: var(--link) }
header { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: center }
.state { margin: 0; padding: .1rem .7rem; border: 1.5px solid; border-radius: 1rem;
  font-size: .9rem; font-weight: 600; color: var(--bad); overflow-wrap: anywhere }
.finished { color: var(--good) } .running { color: var(--busy) } .stopped { color: var(--good) }
dl { flex-basis: 100%; display: flex; flex-wrap: wrap; gap: .5rem 2.2rem; margin: .4rem 0 0 }
dl div { min-width: 5rem } dd { margin: 0; font-variant-numeric: tabular-nums }
dt { color: var(--soft); font-size: .8rem }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin-top: 1.2rem; font-size: .9rem }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr));
  gap: 1.2rem 2rem; align-items: start }
.facts table { width: 100%; table-layout: fixed } .facts th { width: 40%; font-weight: 400 }
.facts td { overflow-wrap: anywhere }
.facts table:last-child { grid-column: 1 / -1 }
@media (min-width: 60rem) { .facts table:last-child th { width: 8.3rem } }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr));
  gap: 1rem; margin: 1.2rem 0 }
figure { margin: 0; padding: .8rem .9rem .5rem; border-radius: .5rem; background: var(--card);
  break-inside: avoid }
figure > svg, figure > img { display: block; width: 100%; height: auto }
figure text { fill: var(--ink); font-family: system-ui, sans-serif }
figure path { stroke-linejoin: round }
.title { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; margin: 0 0 .3rem;
  overflow-wrap: anywhere }
.key { color: var(--soft); font-size: .85rem }
.swatch { width: 1.6em; height: .65em; margin-right: .35em; fill: none; stroke-width: 2 }
.note { margin: .2rem 0; color: var(--soft); font-size: .8rem }
.lead { margin: .4rem 0; font-size: 1.1rem; max-width: 46rem }
.text { max-width: 46rem } .hover:hover { stroke-width: 3 }
.words { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem;
  margin: 1.2rem 0; max-width: 46rem; font-size: .8rem }
.wide { overflow-x: auto; margin: .8rem 0 }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
caption { padding: .2rem 0 .3rem; text-align: left; font-weight: 600; white-space: nowrap }
th, td { padding: .28rem 1rem .28rem 0; border-bottom: 1px solid var(--grid); text-align: left;
  vertical-align: top }
@media (max-width: 30rem) { th, td { padding-right: .6rem } }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom }
tbody th { color: var(--soft); font-weight: 400 }
.wide td, .wide th { white-space: nowrap } .wide td.text { white-space: normal; min-width: 6rem }
th button { all: unset; cursor: pointer } th button:focus-visible { outline: 2px solid }
th button::after { content: " ↕" / ""; color: var(--quiet) }
[aria-sort=ascending] button::after { content: " ↑" / "" }
[aria-sort=descending] button::after { content: " ↓" / "" }
.wide .sortable tbody th { white-space: normal; min-width: 7rem; max-width: 14rem;
  overflow-wrap: anywhere }
.number { text-align: right } .cut { color: var(--soft); font-style: italic }
summary { cursor: pointer; color: var(--link); font-size: .875rem }
footer { margin-top: 3rem; color: var(--soft); font-size: .8rem }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt } nav, details { display: none }
  .charts { grid-template-columns: 1fr 1fr } .wide { overflow: visible }
  .wide table { font-size: .75rem } .wide td.text, .wide .sortable tbody th { min-width: 0 }
  .wide td, .wide th { white-space: normal; max-width: 10rem; padding-right: .6rem;
    overflow-wrap: break-word } th button::after { content: none }
  h2, h3, caption { break-after: avoid } tr { break-inside: avoid }
  figure { border: 1px solid #ccc } }
"""
)
