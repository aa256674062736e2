"""Writes files from the registry, for readers and for editors.

    python tools/catalogue.py [--check]

writes `docs/catalogue.md`, and an `__init__.pyi` for every folder that discovers its modules.
With `--check` it writes nothing and exits with status 1 if a file is out of date.
"""

import argparse
import re
import sys
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from typing import Literal, get_args, get_origin

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from keras_gdx.arguments import alternatives, interval
from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.optimizers import Optimizer
from keras_gdx.recipes import PRESETS
from keras_gdx.recommendation.table import TABLE, AtLeast, Rate
from keras_gdx.registry import KERAS_OWN, REGISTRY
from keras_gdx.report.markup import said

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python tools/catalogue.py"
KINDS = ("optimizer", "modifier", "schedule", "callback", "regularizer", "constraint")
OPTIONS = declared_arguments(Optimizer)
FIRST_CHOICES = (
    "What `keras_gdx.recommend(model)` chooses from: for each setting, the first line whose "
    "conditions hold."
)


def files():
    """Maps the path of each file to its text."""
    found = {ROOT / "docs" / "catalogue.md": catalogue()}
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
        entries = [e for e in REGISTRY.values() if e.kind == kind and _is_ours(e.cls)]
        if entries:
            entries.sort(key=lambda e: e.name)
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
        source = "; ".join(filter(None, [_linked(each.source), each.note]))
        rate = f"{each.learning_rate:g}"
        lines.append([each.rule, each.name, each.batch_size, rate, schedule, arguments, source])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _advice():
    lines = [["Setting", "If", "Choice", "Reason", "Source", "Confidence"]]
    lines.append(["---"] * len(lines[0]))
    for line in TABLE:
        conditions = ", ".join(f"{name} {_condition(need)}" for name, need in line.when.items())
        source = _linked(line.source)
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


def _is_ours(cls):
    return cls.__module__.startswith("keras_gdx.")


def _introduction(kind):
    yield import_module(f"keras_gdx.{kind}s").__doc__
    if kind == "modifier":
        yield "Any number may be a schedule."
    if kind == "optimizer":
        shown = _arguments(Optimizer, [name for name in OPTIONS if name != "learning_rate"])
        yield (
            "A number that is not an integer may be a schedule or be set during training, except "
            f"`loss_scale_factor`. `**options` are those of `Optimizer`: {shown}. *Bytes* is the "
            "state per parameter of a float32 matrix of 1024 x 1024 with the arguments below."
        )
        rules = sorted(e.name for e in REGISTRY.values() if e.kind == kind and _is_ours(e.cls))
        shared = ", ".join(f'`"{name}"`' for name in rules if name in KERAS_OWN)
        yield (
            "`compile` takes names too, in lower case or as written here. Keras has rules named "
            f"{shared}, which mean Keras' class there; ours are "
            '`keras_gdx.create("adam")` and `compile(optimizer="keras_gdx>adam")`.'
        )


def _table(kind, entries):
    columns = {
        "Name": lambda e: f"[`{e.cls.__name__}`](../{e.cls.__module__.replace('.', '/')}.py)",
        "What it is for": lambda e: e.summary,
        "Arguments": lambda e: _signature(e.cls),
        "Bytes": lambda e: f"{e.bytes_per_parameter:.2g}",
        "Source": lambda e: _linked(e.paper),
        "Verified against": lambda e: e.verified,
    }
    if kind != "optimizer":
        del columns["Bytes"]
    rows = [[cell(e).replace("|", r"\|") for cell in columns.values()] for e in entries]
    lines = [[*columns], ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _signature(cls):
    defaults = declared_arguments(cls)
    if not issubclass(cls, Optimizer):
        return _arguments(cls, defaults)
    own = [name for name in defaults if defaults[name] != OPTIONS.get(name, defaults)]
    has_options = OPTIONS.keys() <= defaults.keys()
    return ", ".join(filter(None, [_arguments(cls, own), "`**options`" if has_options else ""]))


def _arguments(cls, names):
    """Arguments as in a signature, each with its range or choices: `` `beta=0.9` in [0, 1) ``."""
    defaults, types = declared_arguments(cls), argument_types(cls)
    return ", ".join(
        " ".join(filter(None, [f"`{_with_default(name, defaults[name])}`", _range(types[name])]))
        for name in names
    )


def _with_default(name, default):
    """`epsilon=1e-8`; Python itself writes `1e-08`."""
    return name if default is Parameter.empty else f"{name}={re.sub('e-0', 'e-', repr(default))}"


def _range(hint):
    """The range of a number, or the choices of a string."""
    kinds = list(alternatives(hint))
    choices = [repr(x) for base, _ in kinds if get_origin(base) is Literal for x in get_args(base)]
    ranges = [
        ("integer " if base is int else "") + interval(limits) for base, limits in kinds if limits
    ]
    return ranges[0] if ranges else f"({', '.join(choices)})" if choices[1:] else ""


def _linked(source):
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[\g<0>](https://arxiv.org/abs/\1)", source)


def main(arguments=None):
    """Writes the files that are out of date, or only lists them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    check = parser.parse_args(arguments).check
    stale = {path: text for path, text in files().items() if not is_fresh(path, text)}
    for path, text in stale.items():
        if not check:
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'stale' if check else 'written'}")
    return int(check and bool(stale))


def is_fresh(path, text):
    """Whether the file at `path` has this text."""
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
