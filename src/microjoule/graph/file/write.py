"""Write a network as one file: a zip archive of `network.json` (the graph, by names) and `tensors.safetensors`.

Nothing in it is code: operators and modules go by their names in written lists. `microjoule.graph.file.read` reads it
back. `network.json` is an object with a key for each thing that is known of the network:

    format, modules, nodes        the graph: what it consists of, in order
    contract, example, card       what it takes, and what for example; what else is known of its inputs and classes
    preactivations, history       what is known of it, and what was done to it
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils import _pytree as pytree

from microjoule.errors import FileError
from microjoule.graph.card import ModelCard, metadata
from microjoule.graph.contract import Contract, plain_contract
from microjoule.graph.file.modules import encode_modules
from microjoule.graph.file.operators import operator_name
from microjoule.graph.file.tensors import TensorWriter
from microjoule.graph.file.trees import encode_tree
from microjoule.graph.file.values import encode
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.facts import Record
from microjoule.records.files import write_atomically
from microjoule.records.json_io import to_json

FORMAT = 2
DOCUMENT, TENSORS = "network.json", "tensors.safetensors"
"""The members of the archive."""

TENSOR = "tensor"
"""The tag of a stored tensor among the values of an example."""


class Writable(Protocol):
    """What is written of a network."""

    @property
    def module(self) -> GraphModule:
        """The graph and its modules."""

    @property
    def example(self) -> Any:
        """Inputs, as `args` and `kwargs`."""

    @property
    def contract(self) -> Contract:
        """What inputs it takes."""

    @property
    def card(self) -> ModelCard:
        """What is known of it."""

    @property
    def preactivations(self) -> dict[str, Gaussian]:
        """How layers' outputs are distributed."""

    @property
    def history(self) -> list[Record]:
        """What was done to it."""


def write(network: Writable, path: str | Path) -> None:
    """Write a network to a file, whole or not at all.

    Raises:
        FileError: if it cannot be written, or holds a module, an operator or an argument that cannot be stored.
    """
    tensors = TensorWriter()
    document = {
        "format": FORMAT,
        "contract": plain_contract(network.contract),
        "card": metadata(network),
        "modules": encode_modules(network.module, tensors),
        "nodes": [_node(node) for node in network.module.graph.nodes],
        "example": _example(network.example, tensors),
        "preactivations": sorted(network.preactivations),
        "history": [json.loads(to_json(record)) for record in network.history],
    }
    for layer, gaussian in network.preactivations.items():
        tensors.store(f"preactivation/{layer}/mean", gaussian.mean)
        tensors.store(f"preactivation/{layer}/std", gaussian.std)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(DOCUMENT, json.dumps(document, allow_nan=False))
        archive.writestr(TENSORS, tensors.content())
    write_atomically(path, buffer.getvalue())


def _node(node: Node) -> dict[str, Any]:
    target: str | None = str(node.target)
    if node.op == "call_function":
        target = operator_name(node.target)
    if target is None or node.op == "call_method":
        raise FileError(
            node.name,
            f"calls {node.target}, which cannot be saved: it is no operator of torch's",
            remedy="leave it out, or make it an operator with torch.library.custom_op",
        )
    return {
        "name": node.name,
        "op": node.op,
        "target": target,
        "args": encode(node.args),
        "kwargs": encode(node.kwargs),
    }


def _tree(place: str, spec: pytree.TreeSpec) -> Any:
    try:
        return encode_tree(spec)
    except ValueError as error:
        raise FileError(
            place, f"cannot be saved: {error}", remedy="let the model take and give tuples, lists and dicts"
        ) from error


def _example(example: Any, tensors: TensorWriter) -> dict[str, Any]:
    """Inputs: how they nest, and the values in that order."""
    leaves, spec = pytree.tree_flatten((example.args, example.kwargs))
    values = [
        {TENSOR: tensors.store(f"example/{index}", leaf)} if isinstance(leaf, Tensor) else encode(leaf)
        for index, leaf in enumerate(leaves)
    ]
    return {"tree": _tree("example", spec), "values": values}
