"""Orders of a computation's operators that take the least memory, and where its values lie: plain values, no torch."""

from microjoule.scheduling.computation import Computation, Operator, Value, sorted_operators
from microjoule.scheduling.files import read_graph, write_graph

__all__ = ["Computation", "Operator", "Value", "read_graph", "sorted_operators", "write_graph"]
