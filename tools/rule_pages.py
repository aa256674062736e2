"""The page of each rule in `docs/optimizers`, from its docstring and `findings.toml`."""

import inspect
import re
import tomllib
from inspect import Parameter
from pathlib import Path

from keras_gdx.config import declared_arguments
from keras_gdx.formulas import markup
from keras_gdx.registry import KERAS_OWN
from tools import rule_pictures
from tools.signatures import has_options, linked, with_default

FINDINGS = tomllib.loads(Path(__file__).with_name("findings.toml").read_text(encoding="utf-8"))


def page(entry, command):
    """The text of the page of a rule."""
    parts = sections(entry.cls)
    summary, _, body = parts[""].partition("\n")
    code = f"../../{entry.cls.__module__.replace('.', '/')}.py"
    blocks = [
        f"<!-- Written by `{command}` from the docstring. -->",
        f"# {entry.cls.__name__}",
        summary,
        body.strip().replace("$$\n$$", "$$\n\n$$"),
        *_picture(entry.name),
        "## Arguments",
        _arguments(entry.cls, parts["Args"]),
        *(f"Raises {_joined(text)}" for title, text in parts.items() if title == "Raises"),
        "## Memory",
        f"{_joined(parts['Memory'])} For a float32 matrix of 1024 x 1024 with the defaults it is "
        f"{entry.bytes_per_parameter:.2g} bytes per parameter.",
        "## What independent benchmarks found",
        _findings(entry.name),
        "## Example",
        f"```python\n{_code(parts['Example'])}\n```",
        *_by_name(entry),
        "## Source",
        f"{linked(entry.paper)}.",
        f"Verified against {entry.verified}.",
        f"[Code]({code}) · [all rules](../catalogue.md)",
    ]
    return "\n\n".join(blocks) + "\n"


def sections(cls):
    """The docstring in sections, by title; `""` is the text before the first title."""
    titles = "^(Args|Raises|Memory|Example|Source|Verified against):"
    first, *rest = re.split(titles, inspect.cleandoc(markup(cls)), flags=re.M)
    return {"": first, **dict(zip(rest[::2], rest[1::2], strict=True))}


def _joined(text):
    """A section as one paragraph."""
    return " ".join(text.split())


def _by_name(entry):
    """How to ask for the rule by name, if it needs no argument."""
    if Parameter.empty not in declared_arguments(entry.cls).values():
        name = f"keras_gdx>{entry.name}" if entry.name in KERAS_OWN else entry.name
        yield f'With the defaults: `model.compile("{name}", loss)`.'


def _picture(name):
    if name in rule_pictures.RULES:
        yield f"![The path of the rule on two problems]({name}.svg)"
        yield rule_pictures.caption(name)


def _arguments(cls, text):
    """A list of the arguments with their defaults, ranges and meanings."""
    lines = [
        f"- `{with_default(cls, name)}`: {_joined(meaning)}"
        for name, meaning in re.findall(
            r"^    (\*{0,2}\w+): ((?:.+\n?(?:     .+\n?)*))", text, re.M
        )
    ]
    if has_options(cls):
        lines.append("- The options of all rules are in [Options of every rule](../options.md).")
    return "\n".join(lines)


def _findings(name):
    """A list of what was found, with sources."""
    found = [each for each in FINDINGS["findings"] if name in each["rules"]]
    if not found:
        return "Those that we know say nothing about this rule."
    lines = []
    for each in found:
        source = FINDINGS["sources"][each["source"]]
        lines.append(f"- {each['text']} ([{source['title']}]({source['url']}): {source['about']})")
    return "\n".join(lines)


def _code(text):
    """The code of a doctest, without what it prints."""
    lines = [re.match(r" *(?:>>>|\.\.\.) ?(.*)", line) for line in text.splitlines()]
    code = "\n".join(found[1] for found in lines if found)
    return re.sub(r"\A((?:(?:import|from) .*\n)+)", r"\1\n", code)
