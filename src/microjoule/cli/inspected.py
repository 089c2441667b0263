"""What `microjoule inspect` prints of a network: its layers, its channels, its totals, and what to mind."""

from collections.abc import Sequence

from rich.console import RenderableType

from microjoule.cli.models import Model
from microjoule.cli.output import plain_table
from microjoule.graph.channels import ChannelGroups, parameters_of
from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.records.facts import Captured, Placed
from microjoule.records.measured import Costs
from microjoule.report import units
from microjoule.report.tables import Column, Table, word
from microjoule.report.terminal import rich_table

FREE_BATCH = "; torch.export.export(..., dynamic_shapes=({0: Dim.AUTO},)) with two samples or more leaves it open"
"""What to do about a fixed batch in a .pt2 file; `mj.capture` does so by itself."""


def channels_tables(network: Network, found: ChannelGroups) -> list[RenderableType]:
    """Which channels can be removed, and which cannot."""
    columns = (Column("group"), Column("units", numeric=True), Column("parameters", numeric=True))
    rows = tuple(
        (
            word(group.name),
            word(f"{group.size:,}"),
            word(f"{parameters_of(network, group):,}"),
            word(", ".join(group.makers)),
            word(", ".join(group.readers)),
        )
        for group in found.groups
    )
    fixed = tuple((word(skipped.place), word(skipped.reason)) for skipped in found.fixed)
    return [
        rich_table(Table("Channels that go together", (*columns, Column("made by"), Column("read by")), rows)),
        rich_table(Table("Channels that must stay", (Column("layer"), Column("reason")), fixed)),
    ]


def warnings(network: Network) -> list[str]:
    """What a user may not expect of a network, a sentence each."""
    found = []
    captured = next((record for record in network.history if isinstance(record, Captured)), None)
    if captured is not None and captured.unknown_operators:
        found.append(
            f"these operators are not on our list and stay as they are: {', '.join(captured.unknown_operators)}"
        )
    for skipped in captured.functional_layers if captured is not None else ():
        found.append(f"{skipped.place} stays a functional operator: {skipped.reason}")
    if not network.dynamic_batch:
        found.append(f"its batch is fixed to that of the example inputs{FREE_BATCH if _is_program(captured) else ''}")
    norms = sum(kind(network.module, node) == "batch_norm" for node in network.graph.nodes)
    if norms and network.quantizers:
        found.append(f"it is quantized, and {norms} batch norms are not folded")
    loose = [name for name, quantizer in network.quantizers.items() if not quantizer.calibrated]
    if loose:
        found.append(f"these activation quantizers have no range yet: {', '.join(loose)}")
    return found


def _is_program(captured: Captured | None) -> bool:
    return captured is not None and captured.source.endswith(".pt2")


def layers_table(network: Network, counted: Costs) -> RenderableType:
    """A row a layer: shape, parameters, MACs, and the bits of its weights and its output."""
    rows = []
    for cost in counted.layers:
        weights, outputs = bits_of(network, cost.layer)
        shape = "x".join(map(str, cost.shape[1:])) or "1"
        rows.append(
            (
                cost.layer,
                cost.kind,
                shape,
                f"{cost.parameters:,}",
                f"{cost.macs:,}",
                weights,
                outputs,
                units.size(cost.weight_bytes),
            )
        )
    columns = ("layer", "kind", "output", "parameters", "MACs", "weight bits", "output bits", "weights")
    return plain_table("Layers", columns, rows)


def bits_of(network: Network, path: str) -> tuple[str, str]:
    """Bits of a layer's weights, and of its output (after an activation that fuses into it).

    "float" where weights have no quantizer, "" where there are no weights, or an output has no grid of its own.
    """
    layer = next((layer for layer in network.layers if layer.path == path), None)
    weights = "" if layer is None else "float" if layer.quantizer is None else str(layer.quantizer.scheme.grid.bits)
    placed = [record for record in network.history if isinstance(record, Placed)]
    grids = placed[-1].grids if placed else ()
    made = [grid.bits for grid in grids if grid.kind == "activation" and path in (grid.layer, grid.value, grid.name)]
    return weights, str(made[0]) if made else ""


def totals_table(model: Model, counted: Costs) -> RenderableType:
    """What one sample takes, and what the network takes as inputs."""
    batch = "any" if model.network.dynamic_batch else "fixed"
    shapes: Sequence[str] = ["x".join(map(str, tensor.shape[1:])) or "1" for tensor in model.network.example.tensors]
    return plain_table(
        "For one sample",
        ("", "value"),
        [
            ("inputs", ", ".join(shapes)),
            ("batch", batch),
            ("parameters", f"{counted.parameters:,}"),
            ("weights", units.size(counted.weight_bytes)),
            ("MACs", f"{counted.macs:,}"),
            ("bit operations", f"{counted.bops:,}"),
            ("peak memory of activations", units.size(counted.peak_bytes)),
            (f"energy ({counted.energy_table})", units.energy(counted.energy_pj)),
        ],
    )
