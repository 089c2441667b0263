"""Rewritings that compute the same with less memory, and which of them pay.

- A convolution of a concatenation is a sum of convolutions, one of each branch with its share of the weights:
  conv(x1 | x2) = conv1(x1) + conv2(x2). Each adds to one accumulator, so branches need not all be there at once.
- A depthwise convolution of a concatenation is the concatenation of one of each branch.
- A sum of several values can take them in one after another.

With integers an accumulator is wider than what is made of it: `accumulator_bytes` for each byte, until it is rounded to
the output in place. With 1 accumulation costs no memory, but where a sum gives up its place or a concatenation copies;
otherwise the choice is searched for.

Source: Ahn et al. 2020, Ordering Chaos (SERENITY), https://arxiv.org/abs/2003.02369, section 3.3.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import combinations

from microjoule.errors import SettingError
from microjoule.scheduling.computation import Computation, Operator, Value, sorted_operators
from microjoule.scheduling.order import Order, order

EXHAUSTIVE = 9
"""Up to this many choices all subsets are tried, beyond it changes of one and of two."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A computation with the rewritings that pay, and its best order.

    Args:
        computation: rewritten.
        order: of the rewritten computation.
        accumulated: names of the operators that became sums of several.
        accumulator_bytes: what was assumed for each byte of an output.
        tried: computations that were ordered.
        is_best: whether every choice of sums was tried, or is known to be no better.
    """

    computation: Computation
    order: Order
    accumulated: tuple[str, ...]
    accumulator_bytes: int
    tried: int
    is_best: bool


def per_branch(computation: Computation) -> Computation:
    """Every depthwise convolution of a concatenation as one of each branch.

    It takes no more memory if the concatenation is a view and each branch's share is a whole number of bytes.
    """
    given = computation
    while (index := next((i for i, one in enumerate(given.operators) if _splits(given, one)), None)) is not None:
        given = _split(given, index)
    return given


def accumulable(computation: Computation) -> list[int]:
    """The operators that could take in what they read one after another: convolutions of concatenations, and sums."""
    return [index for index, one in enumerate(computation.operators) if len(_terms(computation, one)) > 1]


def accumulate(computation: Computation, chosen: Collection[int], *, accumulator_bytes: int = 1) -> Computation:
    """Some operators as sums of several.

    Args:
        computation: with the kinds of its operators.
        chosen: indices of operators, of `accumulable`.
        accumulator_bytes: for each byte of the output, while it is added up.

    Raises:
        SettingError: for an operator that cannot be a sum, or less than one byte.
    """
    if accumulator_bytes < 1:
        raise SettingError("accumulator_bytes", f"is {accumulator_bytes}", remedy="give at least 1")
    wrong = sorted(set(chosen) - set(accumulable(computation)))
    if wrong:
        fact = f"operators {wrong} are no convolution of a concatenation and no sum"
        raise SettingError("chosen", fact, remedy="choose of microjoule.scheduling.accumulable")
    values, operators = list(computation.values), list[Operator]()
    for index, one in enumerate(computation.operators):
        operators += _sum(computation, one, values, accumulator_bytes) if index in chosen else [one]
    return _without_unread(computation.name, values, operators)


def rewrite(computation: Computation, *, accumulator_bytes: int = 1, seconds: float | None = None) -> Rewritten:
    """Find the rewritings with which the best order takes the least memory.

    Args:
        computation: with the kinds of its operators.
        accumulator_bytes: for each byte of an output, while it is added up.
        seconds: for each order that is searched for; None for as long as it takes.
    """
    split = per_branch(computation)
    found = _with_sums(split, accumulator_bytes, seconds)
    if split == computation:
        return found
    plain = order(computation, seconds=seconds)
    if plain.peak >= found.order.peak:
        return replace(found, tried=found.tried + 1)
    other = _with_sums(computation, accumulator_bytes, seconds)
    return replace(other, tried=found.tried + other.tried)


def _with_sums(computation: Computation, accumulator_bytes: int, seconds: float | None) -> Rewritten:
    """The best of all choices, or of those that are near others that help."""
    found = _Choices(computation, accumulator_bytes, seconds)
    options = accumulable(computation)
    found.offer(options)
    is_free = accumulator_bytes == 1 and not _may_cost(computation, options)
    is_all = len(options) <= EXHAUSTIVE
    if not is_free and is_all:
        for count in range(1, len(options)):
            for chosen in combinations(options, count):
                found.offer(chosen)
    elif accumulator_bytes > 1:
        found.improve(options)
    names = tuple(computation.operators[index].name for index in found.chosen)
    is_best = (is_free or is_all) and found.best.is_optimal
    return Rewritten(found.computation, found.best, names, accumulator_bytes, found.tried, is_best)


class _Choices:
    """The best choice so far."""

    def __init__(self, computation: Computation, accumulator_bytes: int, seconds: float | None) -> None:
        self.given, self.accumulator_bytes, self.seconds = computation, accumulator_bytes, seconds
        self.computation, self.chosen = computation, tuple[int, ...]()
        self.tried = 1
        self.best = order(computation, seconds=seconds)
        self._known: set[frozenset[int]] = {frozenset()}

    def offer(self, chosen: Iterable[int]) -> bool:
        """Order a choice; whether it is better than all before."""
        key = frozenset(chosen)
        if key in self._known:
            return False
        self._known.add(key)
        self.tried += 1
        tried = accumulate(self.given, key, accumulator_bytes=self.accumulator_bytes)
        found = order(tried, seconds=self.seconds)
        if found.peak >= self.best.peak:
            return False
        self.best, self.computation, self.chosen = found, tried, tuple(sorted(key))
        return True

    def improve(self, options: list[int]) -> None:
        """Change one or two choices for as long as that helps."""
        changes = [{one} for one in options] + [set(pair) for pair in combinations(options, 2)]
        while any(self.offer(set(self.chosen) ^ change) for change in changes):
            continue


# One operator ---------------------------------------------------------------------------------------------------------


def _branches(computation: Computation, value: int) -> tuple[int, ...]:
    """What a value is concatenated of, or itself."""
    writer = next((one for one in computation.operators if value in one.outputs), None)
    if writer is None or writer.kind != "concat":
        return (value,)
    return tuple(branch for given in writer.inputs for branch in _branches(computation, given))


def _terms(computation: Computation, operator: Operator) -> tuple[int, ...]:
    """What an operator could take in one after another."""
    if operator.kind == "add":
        return operator.inputs
    if operator.kind != "conv" or len(operator.inputs) != 1:
        return operator.inputs[:1]
    branches = _branches(computation, operator.inputs[0])
    return branches if len(set(branches)) == len(branches) else operator.inputs


def _splits(computation: Computation, operator: Operator) -> bool:
    is_alone = operator.kind == "depthwise" and len(operator.inputs) == 1
    branches = _branches(computation, operator.inputs[0]) if is_alone else ()
    has_shares = any(computation.values[branch].size_bytes for branch in branches)
    return len(branches) > 1 and len(set(branches)) == len(branches) and has_shares


def _may_cost(computation: Computation, options: list[int]) -> bool:
    """Whether a sum of bytes may take more memory: what lay in place does not, or a copy is there beside its parts."""
    copies = any(one.kind == "concat" and not one.is_view for one in computation.operators)
    return copies or any(computation.operators[index].inplace is not None for index in options)


def _split(computation: Computation, index: int) -> Computation:
    """A depthwise convolution as one of each branch, and a concatenation of what they give, as before it."""
    one, values = computation.operators[index], list(computation.values)
    before = next(other for other in computation.operators if one.inputs[0] in other.outputs)
    whole, made = sum(values[branch].size_bytes for branch in _branches(computation, one.inputs[0])), list[Operator]()
    out = values[one.outputs[0]]
    for branch in _branches(computation, one.inputs[0]):
        size, rest = divmod(out.size_bytes * values[branch].size_bytes, whole)
        values.append(Value(f"{out.name} of {values[branch].name}", size + (1 if rest else 0)))
        name = f"{one.name} of {values[branch].name}"
        made.append(replace(one, name=name, inputs=(branch,), outputs=(len(values) - 1,), inplace=None))
    parts = tuple(part.outputs[0] for part in made)
    made.append(Operator(f"{one.name} joined", parts, one.outputs, is_view=before.is_view, kind="concat"))
    operators = [*computation.operators[:index], *made, *computation.operators[index + 1 :]]
    return _without_unread(computation.name, values, operators)


def _sum(computation: Computation, operator: Operator, values: list[Value], accumulator_bytes: int) -> list[Operator]:
    """An operator as several that add to one value, and the rounding of that if it is wider."""
    target, made = operator.outputs[0], list[Operator]()
    if accumulator_bytes > 1:
        out = values[target]
        values.append(Value(f"{out.name} added up", out.size_bytes * accumulator_bytes))
        target = len(values) - 1
    for term in _terms(computation, operator):
        name = f"{operator.name} of {values[term].name}"
        made.append(replace(operator, name=name, inputs=(term,), outputs=(target,), inplace=None))
    if accumulator_bytes > 1:
        made.append(Operator(f"{operator.name} rounded", (target,), operator.outputs, inplace=target, kind="round"))
    return made


def _without_unread(name: str, values: list[Value], operators: list[Operator]) -> Computation:
    """The same without concatenations that nobody reads, and without values that nobody names."""
    while True:
        read = {value for one in operators for value in one.inputs}
        wanted = {value for value, one in enumerate(values) if one.is_output}
        kept = [one for one in operators if one.kind != "concat" or set(one.outputs) & (read | wanted)]
        if len(kept) == len(operators):
            break
        operators = kept
    named = {value for one in operators for value in (*one.inputs, *one.outputs)}
    left = [value for value, one in enumerate(values) if value in named or one.is_input]
    new = {value: number for number, value in enumerate(left)}
    moved = sorted_operators(len(left), (one.renumbered(new) for one in operators))
    return Computation(name, tuple(values[value] for value in left), moved)
