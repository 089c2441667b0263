"""What a network costs for one sample: parameters, bytes, multiply-accumulates, bit operations, memory, energy.

- parameters: of every layer, each once, however often it is used; parameters that nobody reads cost nothing;
- weight bytes: parameters at the bits of their quantizer, or of their type where there is none; scales and the
  statistics of batch norms are left out;
- BOPs: MACs * weight bits * activation bits (van Baalen et al. 2020, https://arxiv.org/abs/2005.07093);
- activation bytes: what all operators write, each buffer once (microjoule.costs.buffers says what shares a buffer);
- peak bytes: the most bytes of activations, inputs and outputs included, that are live at any step in the given order;
- energy: microjoule.costs.energy.

A network whose batch is fixed is counted for its own batch.
"""

from pathlib import Path

from torch import Tensor, nn
from torch.fx import Node

from microjoule.costs import operations
from microjoule.costs.buffers import Buffers
from microjoule.costs.energy import EnergyTable, energy_table
from microjoule.costs.operations import GATES, Shape
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import WEIGHTED, Layer, arguments, kind, module_at, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.records.measured import Costs, LayerCost


@takes_network
def costs(network: Network, *, stage: str = "fp32", energy: str | Path | EnergyTable = "horowitz-45nm") -> Costs:
    """Count what a network costs for one sample, in the order in which it stands.

    Args:
        network: any network; nothing is run on data.
        stage: what to call it in the record ("fp32", "int8" ...).
        energy: an energy table's name, the path of a TOML file, or a table.

    Raises:
        TargetError: if there is no such energy table.
    """
    table = energy_table(energy)
    counter = _Counter(network, table)
    layers: dict[str, LayerCost] = {}
    for node in network.graph.nodes:
        found = counter.cost(node)
        if found is not None:
            layers[found.layer] = _both(layers[found.layer], found) if found.layer in layers else found
    each = tuple(layers.values())
    record = Costs(
        stage=stage,
        layers=each,
        parameters=sum(layer.parameters for layer in each),
        weight_bytes=sum(layer.weight_bytes for layer in each),
        macs=sum(layer.macs for layer in each),
        bops=sum(layer.bops for layer in each),
        activation_bytes=sum(layer.activation_bytes for layer in each),
        peak_bytes=operations.peak_bytes(counter.buffers.lifetimes()),
        energy_pj=sum(layer.energy_pj for layer in each),
        energy_table=table.name,
    )
    network.history.append(record)
    return record


def _both(one: LayerCost, other: LayerCost) -> LayerCost:
    """A layer that is called twice."""
    return LayerCost(
        layer=one.layer,
        kind=one.kind,
        shape=one.shape,
        parameters=one.parameters + other.parameters,
        weight_bytes=one.weight_bytes + other.weight_bytes,
        macs=one.macs + other.macs,
        bops=one.bops + other.bops,
        activation_bytes=one.activation_bytes + other.activation_bytes,
        energy_pj=one.energy_pj + other.energy_pj,
    )


class _Counter:
    """Counts node by node; remembers which parameters were counted."""

    def __init__(self, network: Network, table: EnergyTable) -> None:
        self.module = network.module
        self.table = table
        self.buffers = Buffers(network)
        self.counted: set[int] = set()

    def cost(self, node: Node) -> LayerCost | None:
        """What one node costs; None for what costs nothing: inputs, sizes, values that lie on another."""
        name = kind(self.module, node)
        weights = self._parameters(node)
        new = {key: (one, bits) for key, (one, bits) in weights.items() if key not in self.counted}
        self.counted.update(weights)
        makes = self.buffers.root.get(node) is node and node.op != "placeholder"
        if not makes and not new:
            return None
        macs = self._macs(node, name) if makes else 0
        weight_bits, activation_bits, floating = self._operands(node)
        written = self.buffers.size_bytes(node) if makes else 0
        energy = macs * self.table.mac_pj(weight_bits, activation_bits, floating=floating)
        moved = [operations.packed_bytes(one.numel(), bits) for one, bits in weights.values()]
        if makes:
            moved += [
                written,
                *(self.buffers.size_bytes(one) for one in tensor_inputs(node) if one in self.buffers.root),
            ]
        return LayerCost(
            layer=self._path(node),
            kind=name or str(node.target),
            shape=self.buffers.shape(node),
            parameters=sum(one.numel() for one, _ in new.values()),
            weight_bytes=sum(operations.packed_bytes(one.numel(), bits) for one, bits in new.values()),
            macs=macs,
            bops=macs * weight_bits * activation_bits,
            activation_bytes=written,
            energy_pj=energy + sum(self.table.move_pj(size_bytes) for size_bytes in moved),
        )

    def _path(self, node: Node) -> str:
        layer = Layer.at(self.module, node)
        if layer is not None:
            return layer.path
        return str(node.target) if node.op in ("call_module", "get_attr") else node.name

    def _parameters(self, node: Node) -> dict[int, tuple[Tensor, int]]:
        """The parameters that a node reads, by identity, with the bits that each is stored at."""
        layer = Layer.at(self.module, node)
        if node.op == "get_attr" and any(Layer.at(self.module, user) is not None for user in node.users):
            return {}
        if node.op == "get_attr":
            path, _, attribute = str(node.target).rpartition(".")
            stored = self.module.get_submodule(path)._parameters.get(attribute)
            return {id(stored): (stored, stored.itemsize * 8)} if stored is not None else {}
        if layer is not None:
            found = [(layer.stored_weight, self._weight_bits(layer)), (layer.bias, 0)]
            return {id(one): (one, bits or one.itemsize * 8) for one, bits in found if one is not None}
        called = module_at(self.module, node)
        if called is None or isinstance(called, Quantizer):
            return {}
        return {id(one): (one, one.itemsize * 8) for one in called.parameters()}

    @staticmethod
    def _weight_bits(layer: Layer) -> int:
        quantizer = layer.quantizer
        if quantizer is None or not quantizer.enabled:
            return layer.stored_weight.itemsize * 8
        return quantizer.scheme.grid.bits

    def _operands(self, node: Node) -> tuple[int, int, bool]:
        """Bits of weights and of activations, or of the two factors, and whether either is floating point."""
        inputs = [one for one in tensor_inputs(node) if one in self.buffers.root]
        if kind(self.module, node) in GATES:
            inputs = inputs[:1]
        bits = [self.buffers.bits(one) for one in inputs] or [operations.FLOAT_BITS]
        floating = not inputs or any(self.buffers.floating(one) for one in inputs)
        layer = Layer.at(self.module, node)
        if layer is not None:
            quantized = layer.quantizer is not None and layer.quantizer.enabled
            return self._weight_bits(layer), bits[0], floating or not quantized
        called = module_at(self.module, node)
        if called is not None:
            weight = next(called.parameters(), None)
            return operations.FLOAT_BITS if weight is None else weight.itemsize * 8, bits[0], True
        return max(bits[1:], default=bits[0]), bits[0], floating

    def _macs(self, node: Node, name: str | None) -> int:
        shape = self.buffers.shape
        if name in WEIGHTED:
            return self._weighted_macs(node, str(name))
        if name in GATES:
            called = module_at(self.module, node)
            assert isinstance(called, nn.RNNBase)
            source = shape(tensor_inputs(node)[0])
            steps = source[0] * (source[1] if len(source) == 3 else 1)
            return operations.recurrent_macs(str(name), steps, [tuple(one.shape) for one in called.parameters()])
        if name == "matmul":
            args = arguments(node)
            return operations.matmul_macs(shape(node), self._shape(args.get("batch1", args["self"]))[-1])
        if name == "attention":
            args = arguments(node)
            return operations.attention_macs(*(self._shape(args[one]) for one in ("query", "key", "value")))
        return 0

    def _weighted_macs(self, node: Node, name: str) -> int:
        layer = Layer.at(self.module, node)
        weight = tuple(layer.stored_weight.shape) if layer is not None else self._shape(arguments(node)["weight"])
        if name == "conv_transpose":
            return operations.conv_transpose_macs(self.buffers.shape(tensor_inputs(node)[0]), weight)
        if name == "linear":
            return operations.matmul_macs(self.buffers.shape(node), weight[1])
        return operations.conv_macs(self.buffers.shape(node), weight)

    def _shape(self, node: Node) -> Shape:
        return self.buffers.values[node][0]
