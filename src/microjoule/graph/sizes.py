"""Arithmetic on sizes, as data: how large a dimension is, and what a network asks of those that are free.

An expression is a number, the name of a free size ("n"), or an operator with its operands, `("*", 2, "n")`. It may come
from a file, so nothing of it is run: every operator is one of a list, and depth, length and numbers are bounded.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Number = bool | int | float
Expression = Number | str | tuple[Any, ...]
"""A number, the name of a size, or (operator, operand, ...)."""

DEEPEST = 40
LONGEST = 2_000
LARGEST = 2**63


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and abs(value) > LARGEST:
        raise OverflowError("a size beyond 64 bits")
    return value


def _power(base: Number, exponent: Number) -> Number:
    if abs(exponent) > 64:
        raise OverflowError("a power beyond 64 bits")
    return base**exponent


INFIX: dict[str, Callable[[Any, Any], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": _power,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""Operators of two operands, as they are written between them."""

NAMED: dict[str, Callable[..., Number]] = {
    "min": min,
    "max": max,
    "not": operator.not_,
    "neg": operator.neg,
    "abs": abs,
    "trunc": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "float": float,
    "sqrt": math.sqrt,
    "and": lambda *values: all(values),
    "or": lambda *values: any(values),
    "if": lambda condition, one, other: one if condition else other,
}
"""Functions of any number of operands."""


def evaluate(expression: Expression, sizes: Mapping[str, int]) -> Number:
    """The value of an expression.

    Args:
        expression: as `checked` lets it pass.
        sizes: by name.

    Raises:
        ArithmeticError: for a division by zero, or a number that is too large.
    """
    if isinstance(expression, str):
        return sizes[expression]
    if not isinstance(expression, tuple):
        return expression
    name, *operands = expression
    function = INFIX.get(name) or NAMED[name]
    return _bounded(function(*(evaluate(operand, sizes) for operand in operands)))


def holds(expression: Expression, sizes: Mapping[str, int]) -> bool:
    """Whether a condition is true of some sizes; where it cannot be computed, it is not."""
    try:
        return bool(evaluate(expression, sizes))
    except (ArithmeticError, ValueError):
        return False


def checked(value: Any) -> Expression:
    """An expression out of what a file holds, with lists for tuples.

    Raises:
        ValueError: if it is none, or too large.
    """
    if sum(1 for _ in _parts(value, 0)) > LONGEST:
        raise ValueError("an expression of sizes that is too long")
    return _checked(value)


def _parts(value: Any, depth: int) -> Iterator[Any]:
    if depth > DEEPEST:
        raise ValueError("an expression of sizes that is nested too deep")
    yield value
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part, depth + 1)


def _checked(value: Any) -> Expression:
    if isinstance(value, list | tuple) and value and isinstance(value[0], str):
        name, *operands = value
        expected = 2 if name in INFIX else ARITIES.get(name)
        if (name in INFIX or name in NAMED) and operands and expected in (None, len(operands)):
            return (name, *(_checked(operand) for operand in operands))
    if isinstance(value, str) and value.isidentifier():
        return value
    if isinstance(value, bool | int) and abs(value) <= LARGEST:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(f"{str(value)[:40]!r} is no expression of sizes")


ARITIES = {"if": 3, **dict.fromkeys(("not", "neg", "abs", "trunc", "floor", "ceil", "round", "float", "sqrt"), 1)}
"""How many operands a function takes, where not any number."""


def names(expression: Expression) -> set[str]:
    """The sizes that an expression reads."""
    if isinstance(expression, str):
        return {expression}
    return {name for operand in expression[1:] for name in names(operand)} if isinstance(expression, tuple) else set()


def put(expression: Expression, sizes: Mapping[str, int]) -> Expression:
    """An expression with some sizes put in; computed, if that were all."""
    if isinstance(expression, str):
        return sizes.get(expression, expression)
    if not isinstance(expression, tuple):
        return expression
    made = (expression[0], *(put(operand, sizes) for operand in expression[1:]))
    return made if names(made) else evaluate(made, {})


def text(expression: Expression) -> str:
    """An expression as a person writes it."""
    if not isinstance(expression, tuple):
        return str(expression)
    name, *operands = expression
    written = [text(operand) for operand in operands]
    if name in INFIX:
        inner = [
            f"({one})" if isinstance(o, tuple) and o[0] in INFIX else one
            for o, one in zip(operands, written, strict=True)
        ]
        return f"{inner[0]} {name} {inner[1]}"
    return f"{name}({', '.join(written)})"
