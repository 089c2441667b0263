"""Random files of a dozen operators, and random orders of a computation."""

import random

import numpy as np

from microjoule.scheduling.computation import Computation
from tests.deploy.litert_models import (
    ADD,
    CONCAT,
    CONV,
    INT32,
    LOGISTIC,
    MUL,
    RELU,
    RESHAPE,
    SOFTMAX,
    Op,
    T,
    conv_options,
    litert_file,
)

KINDS = ("relu", "plus", "plus", "mul", "concat", "conv", "point", "softmax", "reshape", "unread")


class RandomFile:
    """A file of operators on what earlier ones made, by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tensors: list[T] = []
        self.operators: list[Op] = []
        self.inputs = [self.add((1, 8, 8, self.random.choice([1, 3, 4]))) for _ in range(self.random.choice([1, 1, 2]))]
        self.made = list(self.inputs)
        for _ in range(12):
            one = self.random.choice(self.made)
            getattr(self, self.random.choice(KINDS))(one, self.tensors[one].shape)

    def content(self) -> bytes:
        read = {one for operator in self.operators for one in operator.inputs}
        free = [one for one in self.made if one not in read and one not in self.inputs] or self.made[-1:]
        return litert_file(self.tensors, self.operators, self.inputs, free)

    def add(self, shape: tuple[int, ...], data: np.ndarray | None = None, kind: int = 0) -> int:
        self.tensors.append(T(shape, data, kind))
        return len(self.tensors) - 1

    def step(self, code: int, inputs: list[int], shape: tuple[int, ...], options: dict | None = None) -> None:
        self.made.append(self.add(shape))
        self.operators.append(Op(code, inputs, [self.made[-1]], options or {}))

    def relu(self, one, shape):
        self.step(RELU, [one], shape)

    def unread(self, one, shape):
        self.step(LOGISTIC, [one], shape)
        self.made.pop()

    def softmax(self, one, shape):
        self.step(SOFTMAX, [one], shape, {0: ("Float32", 1.0)})

    def add_or_mul(self, code, one, shape):
        others = [other for other in self.made if self.tensors[other].shape == shape]
        pair = [one, self.random.choice([*others, self.add(shape, np.ones(shape, "f"))])]
        self.random.shuffle(pair)
        self.step(code, pair, shape)

    def plus(self, one, shape):
        self.add_or_mul(ADD, one, shape)

    def mul(self, one, shape):
        self.add_or_mul(MUL, one, shape)

    def concat(self, one, shape):
        fitting = [other for other in self.made if self.tensors[other].shape[:-1] == shape[:-1]]
        parts = [self.random.choice(fitting) for _ in range(self.random.choice([1, 2, 3]))]
        channels = sum(self.tensors[part].shape[-1] for part in parts)
        self.step(CONCAT, parts, (*shape[:-1], channels), {0: ("Int32", len(shape) - 1)})

    def conv(self, one, shape):
        self.convolve(one, shape, self.random.choice([1, 3]))

    def point(self, one, shape):
        self.convolve(one, shape, 1)

    def convolve(self, one, shape, width):
        if len(shape) != 4:
            return
        stride, channels = self.random.choice([1, 2]), self.random.choice([1, 2, 5])
        dilation = self.random.choice([1, 2]) if stride == 1 and width == 3 else 1
        weight = np.ones((channels, width, width, shape[3]), "f")
        inputs = [one, self.add(weight.shape, weight), self.add((channels,), np.zeros(channels, "f"))]
        made = (1, -(-shape[1] // stride), -(-shape[2] // stride), channels)
        self.step(CONV, inputs, made, conv_options(stride, dilation))

    def reshape(self, one, shape):
        wanted = (1, int(np.prod(shape))) if len(shape) == 4 else shape
        self.step(RESHAPE, [one, self.add((len(wanted),), np.array(wanted, "i4"), INT32)], wanted)


def random_order(computation: Computation, seed: int) -> list[int]:
    """Operators in a random order in which they can run."""
    random_one, needed, left = random.Random(seed), computation.before(), set(range(len(computation.operators)))
    order: list[int] = []
    while left:
        order.append(random_one.choice([one for one in sorted(left) if needed[one] <= set(order)]))
        left.remove(order[-1])
    return order
