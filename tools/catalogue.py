"""Writes files from the registry, for readers and for editors.

    python tools/catalogue.py [--check]

writes `docs/catalogue.md`, a page for each rule with a picture of its way on two test problems, the
pages in `docs/migrate` except its index, and an `__init__.pyi` for every folder that discovers its
modules. With `--check` it writes nothing and
exits with status 1 if a file is out of date. A picture is out of date if its settings are others;
drawing all of them takes minutes.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from keras_gdx.optimizers import Optimizer
from keras_gdx.recipes import PRESETS
from keras_gdx.recommendation.table import TABLE, AtLeast, Rate
from keras_gdx.registry import KERAS_OWN, REGISTRY
from keras_gdx.report.markup import said
from tools import migration_pages, rule_pages, rule_pictures
from tools.signatures import OPTIONS, arguments, has_options, linked, own_arguments

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "optimizers"
COMMAND = "python tools/catalogue.py"
KINDS = ("optimizer", "modifier", "schedule", "callback", "regularizer", "constraint")
FIRST_CHOICES = (
    "What `keras_gdx.recommend(model)` chooses from: for each setting, the first line whose "
    "conditions hold."
)


def files():
    """Maps the path of each file to its text."""
    found = {ROOT / "docs" / "catalogue.md": catalogue()}
    for entry in entries_of("optimizer"):
        found[PAGES / f"{entry.name}.md"] = rule_pages.page(entry, COMMAND)
    for name in migration_pages.TABLES:
        found[ROOT / "docs" / "migrate" / f"{name}.md"] = migration_pages.page(name, COMMAND)
    for init in sorted(ROOT.glob("keras_gdx/*/__init__.py")):
        if "publish(__name__)" in init.read_text(encoding="utf-8"):
            found[init.with_suffix(".pyi")] = stub(init.parent.name)
    return found


def stub(folder):
    """The names of a folder, for tools that do not run its `__init__.py`."""
    package = import_module(f"keras_gdx.{folder}")
    names = sorted((getattr(package, name).__module__, name) for name in package.__all__)
    lines = [_import(module, name) for module, name in names]
    return "\n".join([f"# Written by `{COMMAND}`.", "", *lines, ""])


def _import(module, name):
    """One import, wrapped as the formatter wraps a long one."""
    line = f"from {module} import {name} as {name}"
    if len(line) <= 100:
        return line
    return f"from {module} import (\n    {name} as {name},\n)"


def catalogue():
    """A table for each kind of class."""
    parts = [
        "# The catalogue",
        f"Written by `{COMMAND}` from the registry; `keras_gdx.list()` has the same names.",
    ]
    for kind in KINDS:
        entries = entries_of(kind)
        parts += [f"## {kind.capitalize()}s", *_introduction(kind), _table(kind, entries)]
    parts += ["## Presets", 'For `keras_gdx.create("adamw", preset="vit")`.', _presets()]
    parts += ["## First choices", FIRST_CHOICES, _advice()]
    return "\n\n".join(parts) + "\n"


def _presets():
    lines = [["Rule", "Preset", "Batch", "Learning rate", "Schedule", "Arguments", "Source"]]
    lines.append(["---"] * len(lines[0]))
    for each in PRESETS:
        schedule = ", ".join(f"{name} {value}" for name, value in (each.schedule or {}).items())
        arguments = ", ".join(f"`{name}={value!r}`" for name, value in each.arguments.items())
        source = "; ".join(filter(None, [linked(each.source), each.note]))
        rate = f"{each.learning_rate:g}"
        lines.append([each.rule, each.name, each.batch_size, rate, schedule, arguments, source])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def entries_of(kind):
    """The package's own classes of this kind, by name."""
    ours = [e for e in REGISTRY.values() if e.cls.__module__.startswith("keras_gdx.")]
    return sorted((e for e in ours if e.kind == kind), key=lambda e: e.name)


def _advice():
    lines = [["Setting", "If", "Choice", "Reason", "Source", "Confidence"]]
    lines.append(["---"] * len(lines[0]))
    for line in TABLE:
        conditions = ", ".join(f"{name} {_condition(need)}" for name, need in line.when.items())
        source = linked(line.source)
        choice, words = said(line.value), [line.reason]
        if isinstance(line.value, Rate):
            choice, words = said(line.value.value), [line.reason, str(line.value)]
        reason = "; ".join(filter(None, words))
        lines.append([line.setting, conditions, choice, reason, source, line.confidence])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _condition(need):
    if isinstance(need, AtLeast):
        return f">= {need.number:,}"
    return " or ".join(need) if isinstance(need, tuple) else said(need)


def _introduction(kind):
    yield import_module(f"keras_gdx.{kind}s").__doc__
    if kind == "modifier":
        yield "Any number may be a schedule."
    if kind == "optimizer":
        shown = arguments(Optimizer, [name for name in OPTIONS if name != "learning_rate"])
        yield (
            "A number that is not an integer may be a schedule or be set during training, except "
            f"`loss_scale_factor`. `**options` are those of `Optimizer`: {shown}. *Bytes* is the "
            "state per parameter of a float32 matrix of 1024 x 1024 with the arguments below."
        )
        rules = [entry.name for entry in entries_of(kind)]
        shared = ", ".join(f'`"{name}"`' for name in rules if name in KERAS_OWN)
        yield (
            "`compile` takes names too, in lower case or as written here. Keras has rules named "
            f"{shared}, which mean Keras' class there; ours are "
            '`keras_gdx.create("adam")` and `compile(optimizer="keras_gdx>adam")`.'
        )


def _table(kind, entries):
    columns = {
        "Name": lambda e: f"[`{e.cls.__name__}`]({_page_of(e)})",
        "What it is for": lambda e: e.summary,
        "Arguments": lambda e: _signature(e.cls),
        "Bytes": lambda e: f"{e.bytes_per_parameter:.2g}",
        "Source": lambda e: linked(e.paper),
        "Verified against": lambda e: e.verified,
    }
    if kind != "optimizer":
        del columns["Bytes"]
    rows = [[cell(e).replace("|", r"\|") for cell in columns.values()] for e in entries]
    lines = [[*columns], ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _page_of(entry):
    """What the name links to: the page of a rule, the code of anything else."""
    if entry.kind == "optimizer":
        return f"optimizers/{entry.name}.md"
    return f"../{entry.cls.__module__.replace('.', '/')}.py"


def _signature(cls):
    return ", ".join(
        filter(None, [arguments(cls, own_arguments(cls)), "`**options`" * has_options(cls)])
    )


def main(arguments=None):
    """Writes the files that are out of date, or only lists them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    check = parser.parse_args(arguments).check
    stale = {path: text for path, text in files().items() if not is_fresh(path, text)}
    for path, text in stale.items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path, rule in stale_pictures().items():
        stale[path] = rule
        if not check:
            path.write_text(rule_pictures.picture(rule), encoding="utf-8")
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'stale' if check else 'written'}")
    return int(check and bool(stale))


def stale_pictures():
    """Maps the path of each picture that is missing or has other settings to the rule's name."""
    drawn = {PAGES / f"{name}.svg": name for name in rule_pictures.RULES}
    return {path: name for path, name in drawn.items() if not rule_pictures.is_fresh(path, name)}


def is_fresh(path, text):
    """Whether the file at `path` has this text."""
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
