"""The energy of one inference, from a table of what one operation and one memory access take.

    energy = MACs * (multiply + add) + sum over the tensors that an operator touches of bytes * energy of a byte

- Both operands integers: a product's energy grows with the number of partial products, so it is the table's 8-bit one
  times weight bits * activation bits / 64 (0.2 pJ at 8 x 8; the formula gives 3.2 at 32 x 32, and the table says 3.1);
  sums are kept in 32 bits, so the addition is the table's 32-bit one whatever the operands.
- Otherwise a floating-point operation of the wider operand: 16 or 32 bits.
- A tensor is read once by each operator that reads it, and written once, in the smallest memory that holds it whole.

The energy is additive over operators and never falls when a width grows. It is a model of the arithmetic and the memory
of a chip, not of a chip: control, idle time and a compiler's cleverness are outside.

Source: Horowitz 2014, Computing's Energy Problem (and what we can do about it), ISSCC,
https://doi.org/10.1109/ISSCC.2014.6757323, figure 1.1.9.
"""

import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from microjoule.errors import FileError, TargetError
from microjoule.formats.bounded_file import read_text
from microjoule.formats.bounded_text import LONGEST_TOML, read_toml

REMEDY = "compare it with the files in microjoule/costs/energy"

BASE_BITS = 8
"""The width whose integer product the table gives; other widths are interpolated from it."""

ACCUMULATOR_BITS = 32
"""The width of integer sums."""


@dataclass(frozen=True, slots=True)
class Operation:
    """The energy of one addition and one multiplication."""

    add_pj: float
    multiply_pj: float

    @property
    def mac_pj(self) -> float:
        """One product, added to a sum of the same width."""
        return self.add_pj + self.multiply_pj


@dataclass(frozen=True, slots=True)
class Memory:
    """One level of memory: its size (infinite for the last) and the energy to read or write one byte."""

    name: str
    size_bytes: float
    byte_pj: float


@dataclass(frozen=True, slots=True)
class EnergyTable:
    """What operations and memory accesses take.

    Args:
        name: what it is called.
        source: where the numbers are from.
        float_operations: by width in bits.
        integer_operations: by width in bits; 8 and 32 at least.
        memory: levels by growing size; the last holds anything.
    """

    name: str
    source: str
    float_operations: dict[int, Operation]
    integer_operations: dict[int, Operation]
    memory: tuple[Memory, ...]

    def mac_pj(self, weight_bits: int, activation_bits: int, *, floating: bool) -> float:
        """One multiply-accumulate of operands of these widths.

        Args:
            weight_bits: the width of one operand.
            activation_bits: the width of the other.
            floating: whether either is a floating-point number; then the product is made in the wider one's format.
        """
        if not floating:
            product = self.integer_operations[BASE_BITS].multiply_pj * weight_bits * activation_bits / BASE_BITS**2
            return product + self.integer_operations[ACCUMULATOR_BITS].add_pj
        widest = max(weight_bits, activation_bits)
        wide_enough = [bits for bits in self.float_operations if bits >= widest]
        return self.float_operations[min(wide_enough, default=max(self.float_operations))].mac_pj

    def move_pj(self, size_bytes: int) -> float:
        """Reading or writing a tensor of a size once."""
        level = next(level for level in self.memory if size_bytes <= level.size_bytes)
        return size_bytes * level.byte_pj


def tables() -> list[str]:
    """The energy tables that come with microjoule."""
    return sorted(f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml"))


def energy_table(name: str | Path | EnergyTable) -> EnergyTable:
    """A table by name, or from a TOML file.

    Raises:
        TargetError: for an unknown name, a missing file, or a file that does not say what it must.
    """
    if isinstance(name, EnergyTable):
        return name
    if str(name) in tables():
        return parse(_folder().joinpath(f"{name}.toml").read_text("utf-8"), str(name))
    path = Path(name)
    if path.suffix != ".toml":
        remedy = f"use one of {', '.join(tables())}, or the path of a .toml file"
        raise TargetError(str(name), "is no energy table", remedy=remedy)
    try:
        text = read_text(path, most_bytes=4 * LONGEST_TOML, remedy=REMEDY)
    except FileError as error:
        raise TargetError(error.place, error.fact, remedy=error.remedy) from error
    return parse(text, str(path))


def parse(text: str, place: str) -> EnergyTable:
    """Read a table's TOML text.

    Raises:
        TargetError: naming the place, and what is wrong.
    """
    try:
        entries = read_toml(text, place, remedy=REMEDY)
        table = EnergyTable(
            name=str(entries["name"]),
            source=str(entries["source"]),
            float_operations=_operations(entries["float"]),
            integer_operations=_operations(entries["integer"]),
            memory=_levels(entries["memory"]),
        )
        problem = _problem(table)
    except FileError as error:
        problem = error.fact
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        problem = repr(error)
    if problem is not None:
        raise TargetError(
            place,
            f"does not describe an energy table: {problem}",
            remedy=REMEDY,
        )
    return table


def _folder() -> Any:
    return resources.files("microjoule.costs") / "energy"


def _operations(entries: dict[str, dict[str, float]]) -> dict[int, Operation]:
    return {int(bits): Operation(_number(e["add_pj"]), _number(e["multiply_pj"])) for bits, e in entries.items()}


def _levels(entry: dict[str, Any]) -> tuple[Memory, ...]:
    access_bytes = _number(entry["access_bits"]) / 8
    return tuple(
        Memory(str(e["name"]), _number(e.get("size_bytes", math.inf)), _number(e["access_pj"]) / access_bytes)
        for e in entry["levels"]
    )


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{value!r:.80} is no number")
    return float(value)


def _problem(table: EnergyTable) -> str | None:
    """What is wrong with a table that can be read, or None."""
    sizes = [level.size_bytes for level in table.memory]
    prices = [level.byte_pj for level in table.memory]
    operations = [*table.float_operations.values(), *table.integer_operations.values()]
    numbers = [*prices, *(one for op in operations for one in (op.add_pj, op.multiply_pj))]
    if not sizes or sizes[-1] != math.inf:
        return "the last memory level has a size, so it may not hold everything"
    if sizes != sorted(set(sizes)) or prices != sorted(prices):
        return "memory levels must grow in size, and not fall in energy"
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        return "an energy is negative or not finite"
    if not table.float_operations or not {BASE_BITS, ACCUMULATOR_BITS} <= set(table.integer_operations):
        return f"it needs floating-point operations, and integer ones of {BASE_BITS} and {ACCUMULATOR_BITS} bits"
    return None
