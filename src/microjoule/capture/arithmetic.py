"""Arithmetic on sizes as torch writes it in guards and shapes, read as data: nothing of it is run."""

import ast
from collections.abc import Callable

from microjoule.graph.sizes import Expression, checked

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.And: "and",
    ast.Or: "or",
    ast.Not: "not",
    ast.USub: "neg",
}
"""How Python's operators are called here."""

FUNCTIONS = {
    **{name: name for name in ("min", "max", "abs", "round", "float")},
    "Min": "min",
    "Max": "max",
    "Abs": "abs",
    "Mod": "%",
    "PythonMod": "%",
    "Pow": "**",
    "FloorDiv": "//",
    "CleanDiv": "//",
    "IntTrueDiv": "/",
    "FloatTrueDiv": "/",
    "ToFloat": "float",
    "math.trunc": "trunc",
    "math.floor": "floor",
    "math.ceil": "ceil",
    "math.sqrt": "sqrt",
    "math.pow": "**",
    "TruncToInt": "trunc",
    "FloorToInt": "floor",
    "CeilToInt": "ceil",
    "Where": "if",
    "RoundToInt": "round",
    "torch.sym_float": "float",
    "torch.sym_max": "max",
    "torch.sym_min": "min",
    "torch.sym_not": "not",
    "torch.sym_sqrt": "sqrt",
    "torch.sym_int": "trunc",
    "Eq": "==",
    "Ne": "!=",
    "And": "and",
    "Or": "or",
    "Not": "not",
    "Ge": ">=",
    "Gt": ">",
    "Le": "<=",
    "Lt": "<",
    "int": "trunc",
}
"""How functions are called here that torch writes in its guards and sizes."""


Atom = Callable[[ast.expr], Expression | None]
"""What a part of an expression stands for, or None to look into it."""


def parsed(written: str, atom: Atom) -> Expression:
    """An expression out of the Python in which torch writes guards and sizes; nothing of it is run.

    Args:
        written: the text.
        atom: what a part of it stands for, or None to look into it.

    Raises:
        ValueError: if there is something in it that is no arithmetic.
    """
    try:
        return checked(_translated(ast.parse(written.strip(), mode="eval").body, atom))
    except (SyntaxError, RecursionError, MemoryError, KeyError) as error:
        raise ValueError(f"{written[:80]!r} is no arithmetic of sizes") from error


def _translated(node: ast.expr, atom: Atom) -> Expression:
    found = atom(node)
    if found is not None:
        return found
    made: Expression | None = None
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            made = value
        case ast.BinOp(left=left, op=op, right=right):
            made = (OPERATORS[type(op)], _translated(left, atom), _translated(right, atom))
        case ast.UnaryOp(op=op, operand=operand):
            made = (OPERATORS[type(op)], _translated(operand, atom))
        case ast.BoolOp(op=op, values=values):
            made = (OPERATORS[type(op)], *(_translated(value, atom) for value in values))
        case ast.Compare(left=left, ops=ops, comparators=others):
            ends = [_translated(one, atom) for one in (left, *others)]
            pairs = [(OPERATORS[type(op)], a, b) for op, a, b in zip(ops, ends[:-1], ends[1:], strict=True)]
            made = pairs[0] if len(pairs) == 1 else ("and", *pairs)
        case ast.IfExp(test=test, body=body, orelse=other):
            made = ("if", _translated(test, atom), _translated(body, atom), _translated(other, atom))
        case ast.Call(func=function, args=arguments, keywords=[]) if ast.unparse(function) in FUNCTIONS:
            made = (FUNCTIONS[ast.unparse(function)], *(_translated(one, atom) for one in arguments))
    if made is None:
        raise ValueError(f"{ast.unparse(node)[:80]!r} is no arithmetic of sizes")
    return made
