"""What a network costs, as the one number that a search goes by."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from microjoule.costs.count import costs
from microjoule.deploy.measure import measure
from microjoule.deploy.onnx_file import export
from microjoule.errors import SettingError
from microjoule.graph.network import Network
from microjoule.records.facts import Record
from microjoule.records.measured import Costs, Measured


@dataclass(frozen=True, slots=True)
class Price:
    """A kind of cost: its unit, and how it is read from the counted costs; None for what is measured."""

    unit: str
    read: Callable[[Costs], float] | None


PRICES = {
    "energy": Price("pJ", lambda counted: counted.energy_pj),
    "bytes": Price("B", lambda counted: counted.weight_bytes),
    "bops": Price("BOPs", lambda counted: counted.bops),
    "latency": Price("ms", None),
}
"""For one sample: energy by the table of `costs`, bytes of weights, bit operations, and time in ONNX Runtime."""


def price(cost: str) -> Price:
    """A kind of cost by its name.

    Raises:
        SettingError: if there is none.
    """
    if cost not in PRICES:
        raise SettingError("cost", f"is {cost!r}", remedy=f"use one of {', '.join(PRICES)}")
    return PRICES[cost]


def priced(network: Network, cost: str, stage: str) -> tuple[float, list[Record]]:
    """What a network costs, and the records that say so; the network is left alone.

    Args:
        network: any network.
        cost: a name of `PRICES`.
        stage: what to call the network in the records.

    Raises:
        SettingError: for an unknown cost.
        ExportError: for a latency, if the network cannot be exported.
    """
    read, own = price(cost).read, network.copy()
    counted = costs(own, stage=stage)
    if read is not None:
        return read(counted), [counted]
    measured = _measured(own, stage)
    return measured.latency_ms, [counted, measured]


def _measured(network: Network, stage: str) -> Measured:
    """From a file that is there only as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="microjoule-") as folder:
        path = Path(folder) / "network.onnx"
        export(network, path, stage=stage)
        return replace(measure(path, stage=stage), path=f"{stage}.onnx")
