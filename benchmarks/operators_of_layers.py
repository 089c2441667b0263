"""Operators that sum products, normalize or recur, and the values that their attributes take."""

from collections.abc import Iterator
from typing import Any

from benchmarks.operator_cases import Argument, Given, Operator

EXTENTS = {1: (9,), 2: (7, 8), 3: (5, 6, 4)}
KERNELS = {1: (3,), 2: (3, 2), 3: (3, 2, 2)}
MIXED = {1: [2], 2: [2, 1], 3: [1, 2, 1]}


def stored(*shape: int, values: str | int | tuple[int, int] = "normal") -> Given:
    """A parameter."""
    return Given(shape, values, stored=True)


EQUATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "bij,bjk->bik": ((2, 3, 5), (2, 5, 4)),
    "bhid,bhjd->bhij": ((2, 2, 3, 5), (2, 2, 4, 5)),
    "bi,bj->bij": ((2, 3), (2, 4)),
    "bij->bji": ((2, 3, 5),),
    "bij->bi": ((2, 3, 5),),
    "bii->bi": ((2, 3, 3),),
    "bij,jk": ((2, 3, 5), (5, 4)),
}
"""Of einsum, with shapes that fit."""


def _convolutions() -> Iterator[Operator]:
    for axes in (1, 2, 3):
        size, kernel = EXTENTS[axes], KERNELS[axes]
        dense: dict[str, Argument] = {"input": Given((2, 4, *size)), "weight": stored(6, 4, *kernel), "bias": stored(6)}
        grouped = {**dense, "weight": stored(6, 2, *kernel)}
        alone = {**dense, "weight": stored(4, 1, *kernel), "bias": stored(4)}
        one, two = [1] * axes, [2] * axes
        attributes: dict[str, Any] = {"stride": [one, two, MIXED[axes]], "dilation": [one, two]}
        numbers = {**attributes, "padding": [[0] * axes, one, MIXED[axes]]}
        words = {**attributes, "padding": ["valid", "same"]}
        for overload, given in (("default", numbers), ("padding", words)):
            name = f"conv{axes}d.{overload}"
            yield Operator(name, (dense, {**dense, "input": Given((1, 4, *size))}), {**given, "groups": [1]})
            yield Operator(name, (grouped,), {**given, "groups": [2]})
            yield Operator(name, (alone,), {**given, "groups": [4]})
            without = {key: value for key, value in dense.items() if key != "bias"}
            yield Operator(name, (without,), {**given, "bias": [None], "groups": [1]})
        yield from _transposed(axes, size, kernel, attributes)


def _transposed(axes: int, size: tuple[int, ...], kernel: tuple[int, ...], given: dict[str, Any]) -> Iterator[Operator]:
    name = "conv_transpose1d.default" if axes == 1 else f"conv_transpose{axes}d.input"
    zero, one, two = ([number] * axes for number in range(3))
    attributes = {**given, "stride": [two, one, MIXED[axes]], "padding": [zero, one], "output_padding": [zero, one]}
    dense: dict[str, Argument] = {"input": Given((2, 4, *size)), "weight": stored(4, 3, *kernel), "bias": stored(3)}
    yield Operator(name, (dense,), {**attributes, "groups": [1]})
    yield Operator(name, ({**dense, "bias": stored(6)},), {**attributes, "groups": [2]})
    without = {key: value for key, value in dense.items() if key != "bias"}
    yield Operator(name, (without,), {**attributes, "bias": [None], "groups": [1]})


def _normalizations() -> Iterator[Operator]:
    statistics = {"running_mean": stored(4), "running_var": stored(4, values="positive")}
    affine = {"weight": stored(4), "bias": stored(4)}
    shapes = ((2, 4), (2, 4, 5), (2, 4, 5, 6), (2, 4, 3, 5, 4))
    fixed = {"training": [False], "cudnn_enabled": [True]}
    settings = {**fixed, "momentum": [0.1, 0.5], "eps": [1e-5, 0.1]}
    yield Operator("batch_norm.default", tuple({"input": Given(s), **affine, **statistics} for s in shapes), settings)
    bare = {**settings, "weight": [None], "bias": [None]}
    yield Operator("batch_norm.default", ({"input": Given((2, 4, 5, 6)), **statistics},), bare)
    unfixed = {"cudnn_enabled": [True], "momentum": [0.1], "eps": [1e-5, 0.1], "use_input_stats": [True]}
    absent = {"running_mean": [None], "running_var": [None]}
    yield Operator("instance_norm.default", ({"input": Given((2, 4, 5, 6)), **affine},), {**unfixed, **absent})
    none = {**unfixed, **absent, "weight": [None], "bias": [None]}
    yield Operator("instance_norm.default", ({"input": Given((2, 4, 5))}, {"input": Given((2, 4, 5, 6))}), none)
    for sizes, shape in (([6], (2, 5, 6)), ([5, 6], (2, 5, 6)), ([4, 5, 6], (2, 4, 5, 6))):
        parts = {"weight": stored(*sizes), "bias": stored(*sizes)}
        given = {"normalized_shape": [sizes], "eps": [1e-5, 0.1]}
        yield Operator("layer_norm.default", ({"input": Given(shape), **parts},), {**given, "cudnn_enable": [True]})
        bare = {**given, "weight": [None], "bias": [None], "cudnn_enable": [True]}
        yield Operator("layer_norm.default", ({"input": Given(shape)},), bare)
        yield Operator(
            "rms_norm.default", ({"input": Given(shape), "weight": stored(*sizes)},), {**given, "eps": [None, 0.1]}
        )
        yield Operator("rms_norm.default", ({"input": Given(shape)},), {**given, "weight": [None], "eps": [None, 0.1]})
    yield Operator(
        "group_norm.default",
        tuple({"input": Given(s), **affine} for s in ((2, 4, 5, 6), (2, 4, 5), (2, 4))),
        {"num_groups": [2, 4, 1], "eps": [1e-5, 0.1], "cudnn_enabled": [True]},
    )
    yield Operator(
        "group_norm.default",
        ({"input": Given((2, 4, 5, 6))},),
        {"num_groups": [2], "weight": [None], "bias": [None], "eps": [1e-5], "cudnn_enabled": [True]},
    )


def _recurrent() -> Iterator[Operator]:
    for name, gates in (("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1)):
        for layers, ways, biased, first in (
            (1, 1, True, False),
            (2, 1, True, True),
            (1, 2, True, True),
            (2, 2, False, True),
        ):
            made: list[Given] = []
            for layer in range(layers):
                reads = 3 if layer == 0 else 5 * ways
                for _ in range(ways):
                    made += [stored(gates * 5, reads), stored(gates * 5, 5)]
                    made += [stored(gates * 5)] * 2 if biased else []
            yield _Recurrent(f"{name}.input", (layers, ways, biased, first), tuple(made)).operator()


class _Recurrent:
    """A recurrent operator, whose parameters have several shapes."""

    def __init__(self, name: str, settings: tuple[int, int, bool, bool], parameters: tuple[Given, ...]) -> None:
        self.name, self.settings, self.parameters = name, settings, parameters

    def operator(self) -> Operator:
        """With its state as an input."""
        layers, ways, biased, first = self.settings
        state = Given((layers * ways, 2, 5))
        shape = (2, 6, 3) if first else (6, 2, 3)
        given: dict[str, Any] = {
            "input": Given(shape),
            "hx": (state, state) if self.name == "lstm.input" else state,
            "params": self.parameters,
        }
        attributes = {
            "has_biases": [biased], "num_layers": [layers], "dropout": [0.0], "train": [False],
            "bidirectional": [ways == 2], "batch_first": [first],
        }  # fmt: skip
        return Operator(self.name, (given,), attributes)


def _products() -> Iterator[Operator]:
    for shape in ((2, 5), (2, 3, 5), (2, 1, 3, 5), (1, 5)):
        yield Operator("linear.default", ({"input": Given(shape), "weight": stored(4, 5), "bias": stored(4)},))
    yield Operator("linear.default", ({"input": Given((2, 5)), "weight": stored(4, 5)},), {"bias": [None]})
    pairs = (
        ((2, 3, 5), (2, 5, 4)),
        ((2, 3, 5), (5, 4)),
        ((2, 2, 3, 5), (2, 1, 5, 4)),
        ((2, 5), (5,)),
        ((2, 5), (5, 4)),
    )
    yield Operator("matmul.default", tuple({"self": Given(a), "other": Given(b)} for a, b in pairs))
    yield Operator("matmul.default", ({"self": Given((2, 3, 5)), "other": stored(5, 4)},))
    yield Operator(
        "mm.default", ({"self": Given((2, 5)), "mat2": stored(5, 4)}, {"self": Given((2, 5)), "mat2": Given((5, 4))})
    )
    yield Operator("mv.default", ({"self": Given((2, 5)), "vec": stored(5)},))
    yield Operator("bmm.default", ({"self": Given((2, 3, 5)), "mat2": Given((2, 5, 4))},))
    factors = {"beta": [1, 0.5, 2], "alpha": [1, 0.5, 3]}
    batched = {"batch1": Given((2, 3, 5)), "batch2": Given((2, 5, 4))}
    yield Operator("baddbmm.default", ({"self": Given((2, 3, 4)), **batched}, {"self": stored(4), **batched}), factors)
    yield Operator("addbmm.default", ({"self": stored(3, 4), **batched},), factors)
    plain = {"mat1": Given((2, 5)), "mat2": stored(5, 4)}
    yield Operator(
        "addmm.default",
        ({"self": stored(4), **plain}, {"self": stored(1, 4), **plain}, {"self": stored(2, 4), **plain}),
        factors,
    )
    yield Operator("addmv.default", ({"self": stored(2), "mat": Given((2, 5)), "vec": stored(5)},), factors)
    yield Operator("outer.default", ({"self": Given((2,)), "vec2": stored(4)},))
    yield Operator("kron.default", ({"self": Given((2, 3)), "other": stored(2, 2)},))
    yield Operator("dot.default", ({"self": Given((5,)), "tensor": Given((5,))},))
    for equation, shapes in EQUATIONS.items():
        given: dict[str, Argument] = {"tensors": tuple(map(Given, shapes))}
        yield Operator("einsum.default", (given,), {"equation": [equation], "path": [None]})


def _attention() -> Iterator[Operator]:
    three = {"query": Given((2, 2, 4, 6)), "key": Given((2, 2, 5, 6)), "value": Given((2, 2, 5, 3))}
    same = {**three, "key": Given((2, 2, 4, 6)), "value": Given((2, 2, 4, 6))}
    options = {
        "dropout_p": [0.0],
        "is_causal": [False, True],
        "scale": [None, 0.3],
        "enable_gqa": [False],
        "attn_mask": [None],
    }
    name = "scaled_dot_product_attention.default"
    yield Operator(name, (three, same), options)
    masked = {key: value for key, value in options.items() if key not in ("attn_mask", "is_causal")} | {
        "is_causal": [False]
    }
    yield Operator(name, ({**three, "attn_mask": stored(4, 5)}, {**three, "attn_mask": Given((2, 1, 4, 5))}), masked)
    yield Operator(name, ({**three, "attn_mask": stored(4, 5, values="bool")},), masked)
    few = {"query": Given((2, 4, 4, 6)), "key": Given((2, 2, 5, 6)), "value": Given((2, 2, 5, 3))}
    yield Operator(name, (few,), {**options, "enable_gqa": [True], "is_causal": [False]})
    yield Operator(
        "bilinear.default",
        ({"input1": Given((2, 3)), "input2": Given((2, 4)), "weight": stored(5, 3, 4), "bias": stored(5)},),
    )
    yield Operator(
        "cdist.default",
        ({"x1": Given((2, 3, 5)), "x2": Given((2, 4, 5))},),
        {"p": [2.0, 1.0], "compute_mode": [None, 2]},
    )


def _stored_tables() -> Iterator[Operator]:
    settings = {"padding_idx": [-1, 2], "scale_grad_by_freq": [False], "sparse": [False]}
    yield Operator(
        "embedding.default",
        ({"weight": stored(7, 4), "indices": Given((2, 5), 7)}, {"weight": stored(7, 4), "indices": Given((2,), 7)}),
        settings,
    )
    yield Operator(
        "prelu.default",
        tuple(
            {"self": Given(s), "weight": stored(n)}
            for s, n in (((2, 4, 5, 6), 4), ((2, 4, 5, 6), 1), ((2, 4), 4), ((2, 4, 5), 4))
        ),
    )
    for name in ("dropout.default", "feature_dropout.default", "alpha_dropout.default"):
        yield Operator(name, ({"input": Given((2, 4, 5))},), {"p": [0.5, 0.0], "train": [False]})


LAYERS = (*_convolutions(), *_normalizations(), *_recurrent(), *_products(), *_attention(), *_stored_tables())
