"""Writes the pages of the API: one for each public module, with a list of what it has."""

from importlib import import_module
from pathlib import Path

from keras_gdx.registry import REGISTRY

MODULES = (
    "keras_gdx",
    "keras_gdx.optimizers",
    "keras_gdx.modifiers",
    "keras_gdx.schedules",
    "keras_gdx.callbacks",
    "keras_gdx.regularizers",
    "keras_gdx.constraints",
    "keras_gdx.comparison",
    "keras_gdx.distribute",
    "keras_gdx.datasets",
)
ANSWERS = [  # what functions of `keras_gdx` return
    "explanation.explanation.Explanation",
    "full_batch.run.Result",
    "memory_estimate.Memory",
    "recommendation.recommend.Recommendation",
    "registry.Entry",
]
FOLDER = Path(__file__).resolve().parents[1] / "auto" / "api"


def page(name):
    """The page of a module: each name with its first line, and a link to its own page."""
    module = import_module(name)
    public = [each for each in module.__all__ if callable(getattr(module, each))]
    if name == "keras_gdx":
        public.append("list")  # not in `__all__`, as a star import must not shadow the builtin
    home = {each: home_of(name, each) for each in public}
    rules = [each for each in public if is_rule(getattr(module, each))]
    own = [each for each in public if home[each] == name and each not in rules]
    elsewhere = [
        f"~{home[each].removeprefix(name + '.')}.{each}" for each in public if home[each] != name
    ]
    return "\n".join(
        [
            name,
            "=" * len(name),
            "",
            f".. currentmodule:: {name}",
            "",
            f".. automodule:: {name}",
            "   :no-members:",
            "",
            *table(own + ANSWERS * (name == "keras_gdx"), ["   :toctree: ."]),
            *table(rules + elsewhere, []),
        ]
    )


def is_rule(thing):
    """Whether it has a page in `docs/optimizers`."""
    entry = REGISTRY.get(getattr(thing, "__name__", "").lower())
    return bool(entry) and entry.cls is thing and entry.kind == "optimizer"


def home_of(module, name):
    """The module with which a name is documented: `module`, or one inside it that has it too."""
    thing = getattr(import_module(module), name)
    inside = [each for each in MODULES if each.startswith(f"{module}.")]
    found = [each for each in inside if getattr(import_module(each), name, None) is thing]
    return found[0] if found else module


def table(names, options):
    """Names with their first lines."""
    lines = ["", ".. autosummary::", "   :nosignatures:", *options, ""]
    return [*lines, *(f"   {each}" for each in names), ""] if names else []


def index():
    """The page that lists the modules."""
    lines = [
        "API",
        "===",
        "",
        "Classes and functions by the module that they are imported from.",
        "",
    ]
    for name in MODULES:
        text = import_module(name).__doc__.partition("\n")[0]
        lines.append(f"- :doc:`{name}`: {text.removeprefix('keras_gdx: ')}")
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {name}" for name in MODULES), ""]
    return "\n".join(lines)


def write(app, config):
    """Writes the pages that have changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("index", *MODULES):
        path, text = FOLDER / f"{name}.rst", index() if name == "index" else page(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app):
    """Called by Sphinx."""
    app.connect("config-inited", write)  # before autosummary looks for pages to write
    return {"parallel_read_safe": True, "parallel_write_safe": True}
