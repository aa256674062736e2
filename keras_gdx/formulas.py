r"""Formulas as plain text: `help` shows `β₁ m + (1-β₁) g` for `\beta_1 m + (1-\beta_1) g`."""

import re
from typing import Any, TypeVar

Documented = TypeVar("Documented")
THIN = "\N{THIN SPACE}"  # becomes a space where none is beside it
SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε",
    "eta": "η", "theta": "θ", "lambda": "λ", "mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ",
    "sigma": "σ", "Sigma": "Σ", "tau": "τ", "phi": "φ", "ell": "ℓ", "top": "ᵀ", "perp": "⊥",
    "infty": "∞", "partial": "∂", "leftarrow": "←", "le": "≤", "ge": "≥", "pm": "±", "sim": "~",
    "approx": "≈", "times": "×", "cdot": "·", "odot": "⊙", "sum": "Σ", "lVert": "‖", "rVert": "‖",
    "lvert": "|", "rvert": "|", "lfloor": "⌊", "rfloor": "⌋", "langle": "⟨", "rangle": "⟩",
    "ldots": "...", "cdots": "...", "{": "{", "}": "}", ",": THIN, ";": THIN, "quad": "   ",
    "qquad": "   ", "!": "", "left": "", "right": "", "Bigl": "", "Bigr": "",
    "bigl": "", "bigr": "", "int": "∫",
}  # fmt: skip
ACCENTS = {"hat": "\N{COMBINING CIRCUMFLEX ACCENT}", "bar": "\N{COMBINING MACRON}",
           "tilde": "\N{COMBINING TILDE}"}  # fmt: skip
SETS_IN = ("operatorname", "text", "mathtt", "mathcal", "mathrm")  # only another font
LOW = str.maketrans("0123456789aehijklmnoprstuvx+-=()βγρφ", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ₊₋₌₍₎ᵦᵧᵨᵩ")
HIGH = str.maketrans(
    "0123456789abcdefghijklmnoprstuvwxyz+-=()", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ⁺⁻⁼⁽⁾"
)
AFTER_NAMES = {*"(}_^ ", r"\left", r"\Bigl"}  # of functions
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\s+|.", re.S)
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![`$])\$([^$`]+?)\$", re.S)


def readable(text: str) -> str:
    """A docstring with its formulas as plain text."""
    return FORMULA.sub(lambda found: plain(found[1] or found[2]), text)


def plain(formula: str) -> str:
    """A formula as plain text, in the lines that it has."""
    formula = re.sub(r"\\begin\{cases\}(.+?)\\end\{cases\}", _cases, formula, flags=re.S)
    formula = re.sub(r"(\\l(?:Vert|vert|floor|angle)) ", r"\1{}", formula)
    formula = re.sub(r"\s+(\\r(?:Vert|vert|floor|angle))", r"\1", formula)
    text = _Reading(formula).until("")
    text = re.sub(f" *{THIN} *", " ", text)
    text = re.sub(r"(?<=\S)  (?=\S)", " ", text)
    text = re.sub(r"(?<=\S) {4,}", "   ", text)
    return re.sub(r" +$", "", text, flags=re.M)


def _cases(found: re.Match[str]) -> str:
    cases = [" ".join(case.split()) for case in found[1].split(r"\\")]
    cases = [case.replace(r"& \text", r"\text").replace("&", r"\text{if}") for case in cases]
    return rf"\{{{r'; '.join(cases)}\}}"


class _Reading:
    """Reads a formula from left to right."""

    def __init__(self, formula: str):
        self.tokens = TOKEN.findall(formula)[::-1]

    def until(self, end: str) -> str:
        """Everything up to a token, which is taken too."""
        parts = []
        while self.tokens:
            token = self.tokens.pop()
            if token == end:
                break
            parts.append(self.one(token))
        return "".join(parts)

    def one(self, token: str) -> str:
        """What a token says, with what it acts on."""
        name = token[1:]
        if token == "{":
            return self.until("}")
        if token in "_^":
            return self.shifted(token, self.next())
        if token[0] != "\\":
            return token
        if name in SETS_IN:
            return self.next()
        if name in ACCENTS:
            return self.next() + ACCENTS[name]
        if name in ("frac", "tfrac"):
            return f"{_closed(self.next())}/{_closed(self.next())}"
        if name == "sqrt":
            root = ""
            if self.tokens[-1] == "[":
                self.tokens.pop()
                root = self.until("]").translate(HIGH)
            return f"{root}√{_closed(self.next())}"
        if name in SYMBOLS:
            return SYMBOLS[name]
        return f"{name} " if self.tokens and self.tokens[-1] not in AFTER_NAMES else name

    def next(self) -> str:
        """The next token or group."""
        while self.tokens[-1].isspace():
            self.tokens.pop()
        return self.one(self.tokens.pop())

    def shifted(self, sign: str, text: str) -> str:
        """A subscript or superscript, with the characters that Unicode has for it."""
        table = LOW if sign == "_" else HIGH
        if text == "ᵀ":
            return text
        if all(ord(each) in table for each in text):
            return text.translate(table)
        return sign + (text if len(text) == 1 or text.isalnum() else f"({text})")


def _closed(text: str) -> str:
    """In parentheses, unless it is one thing."""
    return text if re.fullmatch(r"[^\s/+\-]+|√?\([^()]*\)", text) else f"({text})"


def with_readable_help(thing: Documented) -> Documented:
    """A class or function whose docstring has formulas: as plain text for `help`.

    `markup` still returns them in LaTeX.
    """
    thing.__markup__ = thing.__doc__  # type: ignore[attr-defined]
    thing.__doc__ = readable(markup(thing))
    return thing


def markup(thing: Any) -> str:
    """The docstring of a class or function with its formulas in LaTeX, for the site."""
    return vars(thing).get("__markup__") or thing.__doc__ or ""
