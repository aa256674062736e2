"""Writes the README's tables and `docs/speed.png` from `benchmarks/results`.

Run with `python -m benchmarks.render`, after `python -m benchmarks.update_step --save` and
`python -m benchmarks.time_to_target`.
"""

import json
from pathlib import Path

from benchmarks.machine import RESULTS

ROOT = Path(__file__).resolve().parents[1]
WHO = (
    "ours, graph",
    "Keras, graph",
    "ours, XLA",
    "Keras, XLA",
    "ours, one loop",
    "PyTorch, fused",
    "PyTorch",
    "optax, jit",
)
COLOURS = ["#0b6e4f", "#9aa0a6", "#3fb68b", "#c9ccd1", "#8fd6b5", "#c05621", "#e8a87c", "#4a6fa5"]


def load():
    """The results, and their rows by case and variant."""
    result = json.loads((RESULTS / "update_step.json").read_text(encoding="utf-8"))
    cases: dict = {}
    for row in result["rows"]:
        cases.setdefault((row["case"], row["variant"]), {})[row["who"]] = row
    return result, cases


def table(cases):
    """The README's table: times divided by the memory limit."""
    shown = [who for who in WHO if any(who in rows for rows in cases.values())]
    lines = [f"| weights | AdamW with | {' | '.join(shown)} |", f"|{'---|' * (len(shown) + 2)}"]
    for (case, variant), rows in cases.items():
        numbers = [f"{rows[who]['to_limit'][0]:.1f}" if who in rows else "" for who in shown]
        lines.append(f"| {case} | {variant} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def text(result, cases):
    """The table, followed by a line that describes the machine."""
    machine = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    place = f"{machine['cores']} shared cores ({machine['processor']})"
    made = f"Measured {machine['date']} on {place}: {packages}."
    return f"{table(cases)}\n\n{made}"


def targets():
    """When each strategy reaches the loss of a tuned AdamW: shares of its updates and seconds."""
    result = json.loads((RESULTS / "time_to_target.json").read_text(encoding="utf-8"))
    by_task: dict = {}
    for row in result["rows"]:
        by_task.setdefault(row["task"], {})[row["strategy"]] = row
    names = [name for name in result["means"] if not name.startswith("Keras")]
    lines = [f"| task | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
    for task, found in by_task.items():
        lines.append(f"| {task} | {' | '.join(map(shares, map(found.get, names)))} |")
    means = [f"**{shares(result['means'][name])}**" for name in names]
    lines.append(f"| geometric mean | {' | '.join(means)} |")
    return "\n".join(lines)


def shares(row):
    """Updates and seconds as shares of AdamW's, or that the target was not reached."""
    if row["updates"] is None:
        return "not reached"
    return f"{row['updates']:.2f}, {row['seconds']:.2f}"


def plot(cases, path):
    """A bar chart of times divided by the memory limit."""
    from matplotlib.figure import Figure

    cases = {key: rows for key, rows in cases.items() if "table" not in key[0]}
    shown = [who for who in WHO if any(who in rows for rows in cases.values())]
    figure = Figure(figsize=(9, 0.75 * len(cases) + 1.2), layout="constrained")
    axes = figure.subplots()
    height = 0.86 / len(shown)
    for who, colour in zip(WHO, COLOURS, strict=True):
        if who not in shown:
            continue
        found = [(n, rows[who]["to_limit"]) for n, rows in enumerate(cases.values()) if who in rows]
        places = [n + (shown.index(who) - len(shown) / 2 + 0.5) * height for n, _ in found]
        lengths = [x[0] for _, x in found]
        spread = [[x[0] - x[1] for _, x in found], [x[2] - x[0] for _, x in found]]
        axes.barh(places, lengths, height, xerr=spread, color=colour, label=who, ecolor="#555555")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    ticks = [0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_yticks(range(len(cases)), [f"{case}\n{variant}" for case, variant in cases])
    axes.invert_yaxis()
    axes.set_xlabel("time of one AdamW step / time to copy the bytes that it must move")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def between(page, name, new):
    """The page with `new` between the comments `<!-- NAME -->` and `<!-- end of NAME -->`."""
    before, begin, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not end:
        raise ValueError(f"README.md has no comments for {name!r}.")
    return f"{before}{begin}{new}\n{end}{after}"


def main():
    result, cases = load()
    readme = ROOT / "README.md"
    page = between(readme.read_text(encoding="utf-8"), "speed", text(result, cases))
    readme.write_text(between(page, "time to target", targets()), encoding="utf-8")
    plot(cases, ROOT / "docs" / "speed.png")


if __name__ == "__main__":
    main()
