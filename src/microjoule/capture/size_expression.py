"""Sizes as expressions in a `.pt2` file: arithmetic on symbols, written anew from what was understood of them.

torch gives such a text to sympy, which runs it as Python. So a text is read here as arithmetic, and torch gets what was
read, not the text.
"""

import ast
import re

FUNCTIONS = frozenset(
    {"Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Mod", "PythonMod", "FloorDiv", "CeilDiv", "CleanDiv"}
    | {"IntTrueDiv", "FloatTrueDiv", "Max", "Min", "Where", "ModularIndexing", "ToFloat", "FloorToInt", "CeilToInt"}
    | {"TruncToInt", "Equality", "Unequality", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "LessThan", "And", "Or", "Not"}
    | {"StrictLessThan", "StrictGreaterThan", "GreaterThan"}
)
"""Functions of sizes."""

POWERS = frozenset({"Pow", "PowByNatural", "FloatPow"})
LARGEST_POWER = 8
NAMES = frozenset({"True", "False", "None", "oo", "int_oo", "true", "false"})
KEYWORDS = frozenset({"positive", "integer", "real", "nonnegative", "evaluate"})
PARTS = (ast.Expression, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Load, ast.unaryop, ast.boolop, ast.cmpop)
SUMS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
SYMBOL = re.compile(r"[a-z]{1,4}\d{1,6}")
LONGEST, MOST_PARTS, LARGEST = 4096, 400, 2**63 - 1


def is_symbol(name: object) -> bool:
    """Whether a text is the name of a size that is not known, such as "s31"."""
    return isinstance(name, str) and SYMBOL.fullmatch(name) is not None


def arithmetic(text: object) -> str:
    """The same expression, written anew.

    Args:
        text: an expression of symbols, numbers, arithmetic and known functions of sizes.

    Raises:
        ValueError: if it is anything else, or too long.
    """
    if not isinstance(text, str) or len(text) > LONGEST:
        raise ValueError(f"a size {str(text)[:40]!r}, which is no arithmetic")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise ValueError(f"a size {text[:80]!r}, which is no arithmetic") from error
    nodes = list(ast.walk(tree))
    if len(nodes) > MOST_PARTS or not all(map(_is_known, nodes)):
        raise ValueError(f"a size {text[:80]!r}, which is no arithmetic")
    return ast.unparse(tree)


def _is_known(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=function, args=arguments):
            return _is_function(function, arguments)
        case ast.BinOp(op=operation, right=right):
            return isinstance(operation, SUMS) or (isinstance(operation, ast.Pow) and _is_small(right))
        case ast.keyword(arg=name, value=value):
            return name in KEYWORDS and isinstance(value, ast.Constant) and isinstance(value.value, bool)
        case ast.Name(id=name):
            return name in FUNCTIONS | POWERS | NAMES or is_symbol(name)
        case ast.Constant(value=value):
            return is_symbol(value) or (isinstance(value, int | float) and abs(value) <= LARGEST)
    return isinstance(node, (*PARTS, *SUMS, ast.Pow))


def _is_function(function: ast.expr, arguments: list[ast.expr]) -> bool:
    """Whether a known function is called, and in the way that is known of it."""
    name = function.id if isinstance(function, ast.Name) else ""
    if name == "Symbol":
        return len(arguments) == 1 and isinstance(arguments[0], ast.Constant) and is_symbol(arguments[0].value)
    if name in POWERS:
        return len(arguments) == 2 and _is_small(arguments[1])
    return name in FUNCTIONS


def _is_small(power: ast.expr) -> bool:
    """Whether a power is a small whole number, or one over it."""
    match power:
        case (
            ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)) | ast.Constant(value=int() as value)
        ):
            return value <= LARGEST_POWER
    return False
