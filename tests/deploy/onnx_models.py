"""Small ONNX files."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def onnx_file(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[str],
    *,
    shape: Sequence[int | str | None] = ("n", 2, 4, 4),
    weights: dict[str, np.ndarray] | None = None,
    inputs: Sequence[onnx.ValueInfoProto] = (),
    name: str = "model.onnx",
) -> Path:
    """A file whose input is x, unless others are given."""
    given = inputs or [helper.make_tensor_value_info("x", FLOAT, shape)]
    wanted = [helper.make_tensor_value_info(output, FLOAT, None) for output in outputs]
    stored = [numpy_helper.from_array(array, key) for key, array in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "graph", list(given), wanted, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / name)
    return folder / name


def node(kind: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """A node of names with spaces between them; it is called by its outputs."""
    return helper.make_node(kind, inputs.split(), outputs.split(), name=f"make {outputs}", **attributes)


class RandomFile:
    """A file of operators on what earlier ones made, by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.shapes: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8)}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        for _ in range(14):
            one = self.random.choice(list(self.shapes)[-5:])
            kind = self.random.choice(("same", "same", "same", "add", "conv", "concat", "flatten", "reshape", "pool"))
            getattr(self, kind)(one, self.shapes[one])

    def written(self, folder: Path) -> Path:
        read = {one for made in self.nodes for one in made.input}
        free = [one for one in self.shapes if one not in read and one != "x"]
        wanted = {*free, self.random.choice([*self.shapes][1:])} if self.random.random() < 0.3 else free
        return onnx_file(folder, self.nodes, sorted(wanted), shape=("n", 4, 8, 8), weights=self.weights)

    def step(self, kind: str, inputs: list[str], shape: tuple[int, ...], **attributes: object) -> None:
        name = f"v{len(self.nodes)}"
        self.shapes[name] = shape
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))

    def same(self, one, shape):
        kinds = ("Relu", "Sigmoid", "Softmax", "Abs", "Identity", "LeakyRelu", "Tanh", "Exp")
        self.step(self.random.choice(kinds), [one], shape)

    def add(self, one, shape):
        self.step("Add", [one, self.random.choice([k for k, v in self.shapes.items() if v == shape])], shape)

    def conv(self, one, shape):
        if len(shape) != 4:
            return
        channels, width = self.random.choice([2, 4, 8]), self.random.choice([1, 3])
        name = f"w{len(self.nodes)}"
        self.weights[name] = np.ones((channels, shape[1], width, width), "f")
        self.step("Conv", [one, name], (1, channels, *shape[2:]), pads=[width // 2] * 4)

    def concat(self, one, shape):
        fitting = [k for k, v in self.shapes.items() if len(v) == len(shape) and v[2:] == shape[2:]]
        parts = [self.random.choice(fitting) for _ in range(self.random.choice([1, 2, 3]))]
        self.step("Concat", parts, (1, sum(self.shapes[part][1] for part in parts), *shape[2:]), axis=1)

    def flatten(self, one, shape):
        self.step("Flatten", [one], (1, int(np.prod(shape))))

    def reshape(self, one, shape):
        name, wanted = f"w{len(self.nodes)}", (1, 2, int(np.prod(shape)) // 2)
        self.weights[name] = np.array(wanted, "i8")
        self.step("Reshape", [one, name], wanted)

    def pool(self, one, shape):
        if len(shape) == 4 and shape[2] > 1:
            made = (*shape[:2], shape[2] // 2, shape[3] // 2)
            self.step("MaxPool", [one], made, kernel_shape=[2, 2], strides=[2, 2])
