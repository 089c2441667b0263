"""Why no order can do better: what must be live while one operator runs.

Whatever the order, operator v runs on top of a downset D that holds all that v needs and nothing that needs v. So

    peak >= min over these D of f(D) + what v starts + its workspace - what it may lay on a value that it finishes,

one minimum cut an operator.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from microjoule.scheduling.bits import ones
from microjoule.scheduling.cuts import least_live
from microjoule.scheduling.memory import Memory


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """An operator that bounds the peak of every order.

    Args:
        operator: its index.
        bound: bytes that every order needs while it runs.
        done: operators that have run before it where it needs the least.
    """

    operator: int
    bound: int
    done: frozenset[int]


def bottleneck(memory: Memory, operators: Iterable[int] | None = None) -> Bottleneck:
    """The operator that bounds the peak of every order the most.

    Args:
        memory: forwards.
        operators: which to look at; None for all.
    """
    earlier, later = memory.closures()
    best = Bottleneck(0, 0, frozenset())
    for operator in range(memory.count) if operators is None else operators:
        high = memory.full & ~(later[operator] | 1 << operator)
        live, done = least_live(memory, earlier[operator], high, memory.started_by(operator))
        bound = live + memory.workspace[operator] - memory.reusable(operator)
        if bound > best.bound:
            best = Bottleneck(operator, bound, frozenset(ones(done)))
    return best
