"""What networks are called in records: the original, and what was made of it."""

from collections.abc import Sequence

from microjoule.records.compressed import Compressed
from microjoule.records.facts import Placed, Record, Run

FLOAT = "fp32"
"""The network in floating point, as it was given."""

ORIGINAL = "original"
"""The network before it was compressed, which stays in floating point."""

COMPRESSED = "compressed"
"""A network that was made smaller and is in floating point still."""

FLOAT_NAMES = (FLOAT, "float32", "float", ORIGINAL)
"""How the stage before quantization, or compression, is called."""


def is_float(stage: str) -> bool:
    """Whether a stage is the network before quantization."""
    return stage.strip().lower() in FLOAT_NAMES


def stage_name(history: Sequence[Record]) -> str:
    """What to call a network: "fp32", "compressed", or its recipe and bits, such as "data-free W8A8".

    Args:
        history: of the network.
    """
    placed = [record for record in history if isinstance(record, Placed)]
    if not placed:
        return COMPRESSED if any(isinstance(record, Compressed) for record in history) else FLOAT
    runs = [record.recipe for record in history if isinstance(record, Run)]
    bits = {kind: {grid.bits for grid in placed[-1].grids if grid.kind == kind} for kind in ("weight", "activation")}
    widths = {kind: str(next(iter(found))) if len(found) == 1 else "x" for kind, found in bits.items()}
    recipe = runs[-1].replace("_", "-") if runs else "quantized"
    return f"{recipe} W{widths['weight']}A{widths['activation']}"
