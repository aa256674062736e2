"""Writes a call of another library as one of this package."""

import ast
import copy
import inspect
from typing import Any, NamedTuple, cast

from keras_gdx.config import Configured, declared_arguments
from keras_gdx.migration.rows import Row

OURS = ("callbacks", "constraints", "modifiers", "optimizers", "regularizers", "schedules")
OLD_NAMES = {"lr": "learning_rate"}  # of arguments, which their libraries still accept
NOT_HERE = {"decay"}  # there a decay of the learning rate, here another option
FUNCTIONS = {"round": round}
HARMLESS = (  # what may be computed of a script, which is never run
    ast.Constant, ast.Tuple, ast.List, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.FloorDiv, ast.Compare, ast.cmpop, ast.Subscript, ast.JoinedStr,
    ast.FormattedValue, ast.Call, ast.Name, ast.expr_context,
)  # fmt: skip


class UnclearError(Exception):
    """A call whose arguments cannot be read."""


class Translation(NamedTuple):
    """What to write instead of a call.

    Attributes:
        code: The new expression.
        lost: The given arguments that it does not contain.
    """

    code: ast.expr
    lost: list[str]


def translate(row: Row, call: ast.Call) -> Translation:
    """Fills the arguments of a call into what the row writes.

    Raises:
        UnclearError: If arguments are unpacked from a variable, missing or unknown.
    """
    assert row.write is not None
    if any(isinstance(x, ast.Starred) for x in call.args) or not all(k.arg for k in call.keywords):
        raise UnclearError("arguments are unpacked from a variable")
    named = {OLD_NAMES.get(str(k.arg), str(k.arg)): k.value for k in call.keywords}
    signature = inspect.signature(row.write)
    try:
        bound = signature.bind(*call.args, **named).arguments
    except TypeError as error:
        raise UnclearError(str(error)) from error
    further = bound.pop("kwargs", {})
    defaults = {p.name: p.default for p in signature.parameters.values() if p.name not in bound}
    filling = _Filling(bound, further, defaults, row.write.__globals__)
    code = filling.visit(copy.deepcopy(row.expression))
    unused = sorted({*bound, *further} - filling.used)
    changed = (name for name in unused if not _is_default(signature, name, {**bound, **further}))
    return Translation(ast.fix_missing_locations(code), [*changed])


class _Filling(ast.NodeTransformer):
    """Replaces the arguments in an expression, and leaves out what is the default here."""

    def __init__(
        self,
        given: dict[str, ast.expr],
        further: dict[str, ast.expr],
        defaults: dict[str, Any],
        names: dict[str, Any],
    ):
        self.given = given
        self.further = further
        self.defaults = defaults
        self.names = names
        self.used: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.given:
            self.used.add(node.id)
            return self.given[node.id]
        if node.id in self.defaults:
            return _literal(self.defaults[node.id])
        if node.id in OURS:
            return ast.Attribute(ast.Name("keras_gdx"), node.id)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        node.test = self.visit(node.test)
        try:
            return self.visit(node.body if _value(node.test) else node.orelse)
        except ValueError:  # it depends on a variable of the script
            node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
            return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """Simplifies `given or default`."""
        first, *rest = (self.visit(value) for value in node.values)
        while rest and isinstance(first, ast.Constant) and not first.value:
            first, *rest = rest
        return first

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        return self._computed(self._inside(node), always=True)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Computes what is short, and leaves out `0 / x`, `1 * x` and `x // 1`."""
        left, right = node.left, node.right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Div) and _is(left, 0):
            return left
        if isinstance(node.op, ast.Mult) and _is(left, 1):
            return right
        if isinstance(node.op, ast.FloorDiv) and _is(right, 1):
            return left
        return self._computed(node, always=isinstance(node.op, ast.Mult))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return self._computed(self._inside(node))

    def _inside(self, node: ast.expr) -> ast.expr:
        """The expression with its parts replaced."""
        return cast(ast.expr, self.generic_visit(node))

    def _computed(self, node: ast.expr, always: bool = False) -> ast.expr:
        """The value of an expression of numbers, if it is short."""
        try:
            value = _value(node)
        except ValueError:
            return node
        return _literal(value) if always or isinstance(value, (int, str)) else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            return self._computed(self._inside(node))
        known = _defaults(node.func, self.names)
        target = self.visit(copy.deepcopy(node.func))
        arguments = [self.visit(each) for each in node.args]
        keywords = [kept for each in node.keywords for kept in self._kept(known, each)]
        if isinstance(target, ast.Call):  # an argument, which gets further options
            return ast.Call(target.func, target.args, [*target.keywords, *keywords])
        if isinstance(node.func, ast.Name) and node.func.id in self.given:
            options = ", ".join(map(ast.unparse, keywords))
            raise UnclearError(f"write `{options}` where `{ast.unparse(target)}` is made")
        return ast.Call(target, arguments, keywords)

    def _kept(self, known: dict[str, Any] | None, keyword: ast.keyword) -> list[ast.keyword]:
        """The keywords that this one becomes: none where its value is the default here."""
        if keyword.arg is None:
            passed = [x for x in self.further if known is None or x in known.keys() - NOT_HERE]
            self.used.update(passed)
            return [ast.keyword(name, self.further[name]) for name in passed]
        inside = {x.id for x in ast.walk(keyword.value) if isinstance(x, ast.Name)}
        value = self.visit(keyword.value)
        if not inside & self.given.keys():
            if keyword.arg == "name":
                return []
            try:
                if known and keyword.arg in known and _value(value) == known[keyword.arg]:
                    return []
            except ValueError:
                pass
        return [ast.keyword(keyword.arg, value)]


def _defaults(function: ast.expr, names: dict[str, Any]) -> dict[str, Any] | None:
    """The defaults of a class that the table names; None for anything else."""
    try:
        found = eval(ast.unparse(function), names)
    except NameError:  # an argument
        return None
    if isinstance(found, type) and issubclass(found, Configured):
        return declared_arguments(found)
    parameters = inspect.signature(found).parameters.values()
    return {p.name: p.default for p in parameters}


def _is_default(signature: inspect.Signature, name: str, given: dict[str, ast.expr]) -> bool:
    parameter = signature.parameters.get(name)
    try:
        return parameter is not None and _value(given[name]) == parameter.default
    except ValueError:
        return False


def _value(code: ast.expr) -> Any:
    """The value of an expression of constants; raises `ValueError` for any other."""
    parts = [*ast.walk(code)]
    names = {x.id for x in parts if isinstance(x, ast.Name)}
    if names - FUNCTIONS.keys() or not all(isinstance(x, HARMLESS) for x in parts):
        raise ValueError(ast.unparse(code))
    try:
        return eval(ast.unparse(code), {"__builtins__": {}, **FUNCTIONS})
    except (ArithmeticError, LookupError, TypeError) as error:
        raise ValueError(ast.unparse(code)) from error


def _is(code: ast.expr, number: int) -> bool:
    return isinstance(code, ast.Constant) and code.value == number


def _literal(value: Any) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body
