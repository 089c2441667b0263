"""Orders of a computation's operators that take the least memory, and where its values lie: plain values, no torch."""

from microjoule.scheduling.arena import Buffer, Plan, load, read_buffers
from microjoule.scheduling.check_plan import problems
from microjoule.scheduling.computation import Computation, Operator, Value, sorted_operators
from microjoule.scheduling.exact import Packing, pack
from microjoule.scheduling.files import read_graph, write_graph
from microjoule.scheduling.greedy import greedy_by_size
from microjoule.scheduling.lifetimes import Lifetimes, buffers_of

__all__ = [
    "Buffer",
    "Computation",
    "Lifetimes",
    "Operator",
    "Packing",
    "Plan",
    "Value",
    "buffers_of",
    "greedy_by_size",
    "load",
    "pack",
    "problems",
    "read_buffers",
    "read_graph",
    "sorted_operators",
    "write_graph",
]
