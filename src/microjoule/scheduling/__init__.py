"""Orders of a computation's operators that take the least memory, and where its values lie: plain values, no torch."""

from microjoule.scheduling.arena import Buffer, Plan, load, read_buffers
from microjoule.scheduling.bound import Bottleneck, bottleneck
from microjoule.scheduling.check import order_problems, result_problems
from microjoule.scheduling.check_plan import problems as plan_problems
from microjoule.scheduling.computation import Computation, Operator, Value, sorted_operators
from microjoule.scheduling.cut_out import cut_out
from microjoule.scheduling.dynamic_program import dynamic_program
from microjoule.scheduling.exact import Packing, pack
from microjoule.scheduling.files import read_graph, write_graph
from microjoule.scheduling.greedy import greedy_by_size
from microjoule.scheduling.lifetimes import Lifetimes, buffers_of
from microjoule.scheduling.order import Order, needs, order, peak_bytes
from microjoule.scheduling.rewrite import Rewritten, accumulable, accumulate, per_branch, rewrite
from microjoule.scheduling.search import Exhausted
from microjoule.scheduling.serenity import serenity
from microjoule.scheduling.traffic import traffic_bytes, with_less_traffic

__all__ = [
    "Bottleneck",
    "Buffer",
    "Computation",
    "Exhausted",
    "Lifetimes",
    "Operator",
    "Order",
    "Packing",
    "Plan",
    "Rewritten",
    "Value",
    "accumulable",
    "accumulate",
    "bottleneck",
    "buffers_of",
    "cut_out",
    "dynamic_program",
    "greedy_by_size",
    "load",
    "needs",
    "order",
    "order_problems",
    "pack",
    "peak_bytes",
    "per_branch",
    "plan_problems",
    "read_buffers",
    "read_graph",
    "result_problems",
    "rewrite",
    "serenity",
    "sorted_operators",
    "traffic_bytes",
    "with_less_traffic",
    "write_graph",
]
