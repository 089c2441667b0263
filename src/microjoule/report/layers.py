"""The table with one row a layer, put together from all records that know something about layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from microjoule.records.facts import Placed, Record
from microjoule.records.measured import Costs, ErrorsByLayer, LayerCost, Verified
from microjoule.report import units
from microjoule.report.choose import before_and_after, every, last
from microjoule.report.tables import MISSING, Cell, Column, Table, amounts, number, word

PREFIX = "quantizers."
"""Where a network keeps its activation quantizers."""


@dataclass(frozen=True, slots=True)
class Names:
    """Which layer a quantizer or value belongs to.

    Records name a place by its quantizer, its value or its layer. `Placed` says which belong together;
    without it, names that differ only in dots, underscores and the quantizer's own prefix are the same.
    """

    layers: dict[str, str]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Names":
        """The names that the latest placement and the costs tell."""
        placed, costs = last(records, Placed), _costs(records)
        found = {_plain(layer.layer): layer.layer for layer in (costs.layers if costs else ())}
        for grid in placed.grids if placed else ():
            if grid.layer:
                found.update({grid.name: grid.layer, grid.value: grid.layer, _plain(grid.layer): grid.layer})
        return cls(found)

    def layer(self, name: str) -> str:
        """The layer's path, or the name itself if no layer has it."""
        return self.layers.get(name) or self.layers.get(_plain(name), name)

    def shown(self, name: str) -> str:
        """How a reader should see a quantizer: as its layer, else without our own prefix."""
        return self.layer(name).removeprefix(PREFIX)


def _plain(name: str) -> str:
    name = name.removeprefix(PREFIX).split(".parametrizations.")[0].removesuffix(".weight")
    return name.replace(".", "_")


def _costs(records: Sequence[Record]) -> Costs | None:
    before, after = before_and_after(records, Costs)
    return after or before


def layers(records: Sequence[Record]) -> Table | None:
    """Every layer with what it costs and how exact it is; None without costs. Columns without a value are left out."""
    costs = _costs(records)
    if costs is None or not costs.layers:
        return None
    found = [*_cost_columns(costs.layers), *_exactness_columns(records, [layer.layer for layer in costs.layers])]
    kept = [(column, cells) for column, cells in found if any(cell.value not in (None, "") for cell in cells)]
    rows = tuple(zip(*(cells for _, cells in kept), strict=True))
    return Table(f"Layers ({costs.stage})", tuple(column for column, _ in kept), rows)


def _cost_columns(costs: Sequence[LayerCost]) -> list[tuple[Column, list[Cell]]]:
    macs_unit, macs = amounts([layer.macs for layer in costs], "", bars=True)
    bytes_unit, weight_bytes = amounts([layer.weight_bytes for layer in costs], "B")
    energy_unit, energy = amounts([layer.energy_pj * 1e-12 for layer in costs], "J", bars=True)
    return [
        (Column("layer"), [word(layer.layer) for layer in costs]),
        (Column("kind"), [word(layer.kind) for layer in costs]),
        (Column("output"), [number(_product(layer.shape), _times(layer.shape)) for layer in costs]),
        (Column("parameters", numeric=True), [number(layer.parameters, f"{layer.parameters:,}") for layer in costs]),
        (Column("weights", numeric=True, unit=bytes_unit), weight_bytes),
        (Column("MACs", numeric=True, unit=macs_unit), macs),
        (Column("energy", numeric=True, unit=energy_unit), energy),
    ]


def _exactness_columns(records: Sequence[Record], paths: Sequence[str]) -> list[tuple[Column, list[Cell]]]:
    names = Names.of(records)
    bits, sqnr, agreement = _bits(records), _sqnr(records, names), _agreement(records, names)
    return [
        (Column("bits", numeric=True, unit="W / A"), [bits.get(path, MISSING) for path in paths]),
        (Column("SQNR", numeric=True, unit="dB"), [sqnr.get(path, MISSING) for path in paths]),
        (Column("deployed", numeric=True, unit="within 1 step"), [agreement.get(path, MISSING) for path in paths]),
    ]


def _bits(records: Sequence[Record]) -> dict[str, Cell]:
    placed = last(records, Placed)
    names = Names.of(records)
    weights: dict[str, int] = {}
    activations: dict[str, int] = {}
    for grid in placed.grids if placed else ():
        kind = weights if grid.kind == "weight" else activations
        kind[grid.layer or names.layer(grid.value)] = grid.bits
    return {
        path: Cell(f"{weights.get(path, units.NONE)} / {activations.get(path, units.NONE)}", weights.get(path))
        for path in {**weights, **activations}
    }


def _sqnr(records: Sequence[Record], names: Names) -> dict[str, Cell]:
    errors = last(records, ErrorsByLayer)
    return {
        names.layer(error.name): Cell(units.decibel(error.sqnr_db), error.sqnr_db)
        for error in (errors.layers if errors else ())
    }


def _agreement(records: Sequence[Record], names: Names) -> dict[str, Cell]:
    """The worst runtime counts."""
    worst: dict[str, float] = {}
    for verified in every(records, Verified):
        for layer in verified.layers:
            path = names.layer(layer.name)
            worst[path] = min(worst.get(path, 1.0), layer.within_one_step_share)
    return {path: Cell(units.percent(share), share) for path, share in worst.items()}


def _product(shape: Sequence[int]) -> float:
    result = 1.0
    for length in shape:
        result *= length
    return result


def _times(shape: Sequence[int]) -> str:
    return " × ".join(str(length) for length in shape)
