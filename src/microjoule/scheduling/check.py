"""What is wrong with an order or with a proof, in words: simple and slow on purpose, and no code of the search.

All is computed from the definitions, anew for each set of operators. Cuts are networkx's.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import networkx

from microjoule.scheduling.bound import Bottleneck
from microjoule.scheduling.computation import Computation
from microjoule.scheduling.order import Order
from microjoule.scheduling.search import Exhausted
from microjoule.scheduling.views import without_views

Done = frozenset[int]


class Definitions:
    """What is live, and what is needed, by the words of `computation`.

    Args:
        computation: with views or without.
    """

    def __init__(self, computation: Computation) -> None:
        self.plain, self.kept = without_views(computation)
        self.values, self.operators = self.plain.values, self.plain.operators
        self.writers = [frozenset(found) for found in self.plain.writers()]
        self.users = [one | frozenset(more) for one, more in zip(self.writers, self.plain.readers(), strict=True)]
        self.before = self.plain.before()

    def is_live(self, value: int, done: Done) -> bool:
        """Whether a value takes memory after a set of operators has run."""
        there = self.values[value].is_input or bool(self.writers[value] & done)
        wanted = self.values[value].is_output or bool(self.users[value] - done)
        return there and wanted

    def live(self, done: Done) -> int:
        """The bytes of all that is live."""
        return sum(one.size_bytes for value, one in enumerate(self.values) if self.is_live(value, done))

    def need(self, operator: int, done: Done) -> int:
        """The bytes in use while an operator runs."""
        given = self.operators[operator]
        fresh = [value for value in given.outputs if not self.writers[value] & done]
        need = self.live(done) + given.workspace_bytes + sum(self.values[value].size_bytes for value in fresh)
        is_last = given.inplace is not None and self.users[given.inplace] - done <= {operator}
        return need - (self.reusable(operator) if is_last else 0)

    def reusable(self, operator: int) -> int:
        """The bytes that an operator may lay where its input lies, if it is the last to use that."""
        given = self.operators[operator]
        if given.inplace is None or len(self.writers[given.outputs[0]]) > 1 or self.values[given.inplace].is_output:
            return 0
        return self.values[given.outputs[0]].size_bytes

    def ready(self, done: Done) -> list[int]:
        """The operators that can run."""
        return [one for one, needed in enumerate(self.before) if one not in done and needed <= done]

    def least_live(self, low: Done, high: Done, started: Iterable[int] = ()) -> int:
        """The fewest bytes that are live after any set between two that holds what its members need."""
        network: Any = networkx.DiGraph()
        network.add_nodes_from(["source", "sink"])
        for operator in range(len(self.operators)):
            if operator in low:
                network.add_edge("source", operator)
            elif operator not in high:
                network.add_edge(operator, "sink")
            for needed in self.before[operator]:
                network.add_edge(operator, needed)
        for value, one in enumerate(self.values):
            there, gone = ("there", value), ("gone", value)
            network.add_edge(there, gone, capacity=one.size_bytes)
            network.add_edges_from((writer, there) for writer in self.writers[value])
            network.add_edges_from((gone, user) for user in self.users[value])
            if one.is_input or value in started:
                network.add_edge("source", there)
            if one.is_output:
                network.add_edge(gone, "sink")
        return int(networkx.minimum_cut_value(network, "source", "sink"))


def order_problems(computation: Computation, order: Sequence[int], peak: int | None = None) -> list[str]:
    """What is wrong with an order; empty if nothing is.

    Args:
        computation: with views or without.
        order: indices of its operators.
        peak: what its peak is said to be, in bytes; None if nothing is said.
    """
    wrong, placed, before = [], set[int](), computation.before()
    for index in order:
        if not 0 <= index < len(before):
            wrong.append(f"names operator {index} of {len(before)}")
            continue
        name = computation.operators[index].name
        if index in placed:
            wrong.append(f"runs operator {name!r} twice")
        missing = before[index] - placed
        if missing:
            wrong.append(f"runs operator {name!r} before {computation.operators[min(missing)].name!r}, which it needs")
        placed.add(index)
    wrong += [f"leaves out operator {one.name!r}" for i, one in enumerate(computation.operators) if i not in placed]
    if not wrong and peak is not None and (real := defined_peak(computation, order)) != peak:
        wrong.append(f"says that its peak is {peak} bytes, but it is {real}")
    return wrong


def defined_peak(computation: Computation, order: Sequence[int]) -> int:
    """The most bytes in use at any time, by definition."""
    given = Definitions(computation)
    number = {index: position for position, index in enumerate(given.kept)}
    peak, done = given.live(frozenset()), frozenset[int]()
    for index in order:
        if index in number:
            peak = max(peak, given.need(number[index], done))
            done |= {number[index]}
    return peak


def result_problems(computation: Computation, result: Order, *, states: int = 200_000) -> list[str]:
    """What is wrong with an order, its peak and its proof; empty if nothing is.

    Args:
        computation: with views or without.
        result: of `order`.
        states: how many the check of a proof by exhaustion may look at.
    """
    wrong = order_problems(computation, result.order, result.peak)
    if result.lower_bound > result.peak:
        wrong.append(f"says that no order has a peak below {result.lower_bound}, but has {result.peak} itself")
    given, proof = Definitions(computation), result.certificate
    if isinstance(proof, Bottleneck):
        wrong += bottleneck_problems(given, proof, result.lower_bound)
    elif isinstance(proof, Exhausted):
        wrong += exhausted_problems(given, proof, result.lower_bound, states=states)
    elif given.live(frozenset()) < result.lower_bound:
        wrong.append(f"says that no order has a peak below {result.lower_bound} and gives no proof")
    return wrong


def bottleneck_problems(given: Definitions, proof: Bottleneck, bound: int) -> list[str]:
    """What is wrong with the proof that an operator needs that much in every order."""
    if wrong := _unknown(given, [proof.operator]):
        return wrong
    operator = given.kept.index(proof.operator)
    low, high = given.before[operator], frozenset(range(len(given.operators)))
    while more := {one for needed in low for one in given.before[needed]} - low:
        low |= more
    later = {operator}
    while more := {one for one in high if given.before[one] & later} - later:
        later |= more
    one = given.operators[operator]
    least = given.least_live(low, high - later, one.outputs) + one.workspace_bytes - given.reusable(operator)
    return [] if least >= bound else [f"operator {one.name!r} can run with {least} bytes, not {bound}"]


def exhausted_problems(given: Definitions, proof: Exhausted, bound: int, *, states: int) -> list[str]:
    """What is wrong with the proof that no order stays below a bound.

    Args:
        given: the definitions.
        proof: what the search passed on its way.
        bound: in bytes.
        states: how many may be looked at.
    """
    if wrong := _unknown(given, [index for passed in proof.passed for index in passed]):
        return wrong
    number = {index: position for position, index in enumerate(given.kept)}
    everything = frozenset(range(len(given.operators)))
    start = frozenset[int]()
    for passed in proof.passed:
        run = [number[index] for index in passed]
        end = start | frozenset(run)
        if wrong := _passing_problems(given, (start, run, end), bound, everything if proof.backwards else None):
            return wrong
        start = end
    return _refuted(given, start, bound, states, everything if proof.backwards else None)


def _unknown(given: Definitions, named: Iterable[int]) -> list[str]:
    unknown = sorted(set(named) - set(given.kept))
    return [f"names operators {unknown} in its proof, which are views or not there"] if unknown else []


def _seen(done: Done, everything: Done | None) -> Done:
    """A set of operators as it is forwards."""
    return done if everything is None else everything - done


def _step(given: Definitions, operator: int, done: Done, everything: Done | None) -> tuple[int, int]:
    """What an operator needs, and what is live after it, forwards or backwards."""
    after = done | {operator}
    need = given.need(operator, done if everything is None else everything - after)
    return need, given.live(_seen(after, everything))


def _passing_problems(
    given: Definitions, part: tuple[Done, list[int], Done], bound: int, everything: Done | None
) -> list[str]:
    """What is wrong with the claim that a best order goes from one set to the next."""
    start, run, end = part
    if _is_waist(given, end, everything):
        return []
    done = start
    for operator in run:
        if operator not in _ready(given, done, everything):
            return [f"operator {given.operators[operator].name!r} cannot run where the proof lets it"]
        if _step(given, operator, done, everything)[0] >= bound:
            return [f"operator {given.operators[operator].name!r} needs {bound} bytes or more on the way"]
        done |= {operator}
    low, high = (start, end) if everything is None else (everything - end, everything - start)
    least, left = given.least_live(low, high), given.live(_seen(end, everything))
    return [] if least >= left else [f"a set on the way leaves {least} bytes live, fewer than {left} at its end"]


def _is_waist(given: Definitions, done: Done, everything: Done | None) -> bool:
    """Whether each operator that is left needs all that are done, so that every order passes the set."""
    first, later = (done, frozenset(range(len(given.operators))) - done)
    if everything is not None:
        first, later = later, first
    ancestors: list[Done] = []
    for needed in given.before:
        ancestors.append(needed.union(*(ancestors[one] for one in needed)))
    return all(first <= ancestors[one] for one in later)


def _ready(given: Definitions, done: Done, everything: Done | None) -> list[int]:
    if everything is None:
        return given.ready(done)
    left = everything - done
    return [one for one in left if not any(one in given.before[later] for later in left)]


def _refuted(given: Definitions, start: Done, bound: int, states: int, everything: Done | None) -> list[str]:
    """Try all orders from a set on that stay below a bound; an operator that leaves no more live runs at once."""
    goal = len(given.operators)
    open_sets, seen = [start], {start}
    while open_sets:
        done = open_sets.pop()
        if len(done) == goal:
            return [f"there is an order below {bound} bytes"]
        if len(seen) > states:
            return [f"the proof could not be checked with {states:,} states"]
        now, after = given.live(_seen(done, everything)), []
        for operator in _ready(given, done, everything):
            need, live = _step(given, operator, done, everything)
            if need < bound:
                after.append(done | {operator})
                if live <= now:
                    after = after[-1:]
                    break
        open_sets += [one for one in after if one not in seen]
        seen.update(after)
    return []
