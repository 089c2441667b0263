"""Operators that compute element by element, reduce or compare, and the values that their attributes take."""

from collections.abc import Iterator

from benchmarks.operator_cases import Given, Operator
from benchmarks.operators_of_images import self_of
from benchmarks.operators_of_layers import stored

SHAPES = ((2, 3, 4, 5), (2, 5), (1, 3, 4), (3, 1, 7))
PLAIN = [
    "relu",
    "relu6",
    "sigmoid",
    "hardsigmoid",
    "hardswish",
    "silu",
    "tanh",
    "mish",
    "neg",
    "selu",
    "log_sigmoid",
    "abs",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "frac",
    "exp",
    "expm1",
    "exp2",
    "erf",
    "erfc",
    "sin",
    "cos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "square",
    "sinc",
    "rad2deg",
    "deg2rad",
    "positive",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "sgn",
]
POSITIVE = ["sqrt", "rsqrt", "reciprocal", "log", "log2", "log10", "log1p", "lgamma", "digamma"]
UNIT = ["asin", "acos", "atanh", "erfinv", "tan"]
BROADCASTS = (((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 4, 5), (2, 1, 4, 1)), ((2, 5), (2, 1)), ((2, 3, 4), (2, 3, 4)))


def two(*, other: str = "other", values: str | int = "normal") -> tuple[dict[str, Given], ...]:
    """Two inputs that broadcast."""
    return tuple({"self": Given(a, values), other: Given(b, values)} for a, b in BROADCASTS)


def _functions() -> Iterator[Operator]:
    for name in PLAIN:
        yield Operator(f"{name}.default", self_of(*SHAPES))
    for name in POSITIVE:
        yield Operator(f"{name}.default", self_of(*SHAPES, values="positive"))
    for name in UNIT:
        yield Operator(f"{name}.default", self_of(*SHAPES, values="unit"))
    yield Operator("acosh.default", self_of((2, 5), values="above one"))
    yield Operator("round.default", self_of(*SHAPES))
    yield Operator("round.decimals", self_of((2, 5)), {"decimals": [0, 1, 2]})
    yield Operator("hardtanh.default", self_of(*SHAPES), {"min_val": [-1, -0.3, 0.0], "max_val": [1, 0.4, 6.0]})
    yield Operator("clamp.default", self_of(*SHAPES), {"min": [-0.3, None, 0], "max": [0.4, None, 2]})
    yield Operator("clamp_min.default", self_of(*SHAPES), {"min": [-0.3, 0.2, 0]})
    yield Operator("clamp_max.default", self_of(*SHAPES), {"max": [0.3, -0.2, 0]})
    bounds = {
        "self": Given((2, 3, 4, 5)),
        "min": stored(3, 1, 1, values="unit"),
        "max": stored(3, 1, 1, values="positive"),
    }
    yield Operator("clamp.Tensor", (bounds,))
    yield Operator("clamp_min.Tensor", ({"self": Given((2, 4)), "min": stored(4)},))
    yield Operator("clamp_max.Tensor", ({"self": Given((2, 4)), "max": stored(4)},))
    yield Operator("leaky_relu.default", self_of(*SHAPES), {"negative_slope": [0.01, 0.3, 0.0, 1.5, -0.2]})
    yield Operator("elu.default", self_of(*SHAPES), {"alpha": [1, 0.5], "scale": [1, 2.0], "input_scale": [1, 0.5]})
    yield Operator("celu.default", self_of(*SHAPES), {"alpha": [1.0, 0.5]})
    yield Operator("gelu.default", self_of(*SHAPES), {"approximate": ["none", "tanh"]})
    yield Operator("softplus.default", self_of(*SHAPES), {"beta": [1, 2.5], "threshold": [20, 0.5]})
    yield Operator("hardshrink.default", self_of(*SHAPES), {"lambd": [0.5, 0.2]})
    yield Operator("softshrink.default", self_of(*SHAPES), {"lambd": [0.5, 0.2]})
    yield Operator("threshold.default", self_of(*SHAPES), {"threshold": [0.1, -0.2], "value": [0, 3.0]})
    yield Operator("glu.default", self_of((2, 4, 6), (2, 6)), {"dim": [-1, 1]})
    yield Operator("softmax.int", self_of(*SHAPES), {"dim": [1, -1, 0, -2]})
    yield Operator("log_softmax.int", self_of(*SHAPES), {"dim": [1, -1, 0, -2]})
    yield Operator(
        "nan_to_num.default", self_of((2, 5)), {"nan": [None, 1.0], "posinf": [None, 2.0], "neginf": [None, -2.0]}
    )


def _arithmetic() -> Iterator[Operator]:
    for name in ("add", "sub"):
        parameter = (
            {"self": Given((2, 3, 4)), "other": stored(3, 1)},
            {"self": stored(3, 4), "other": Given((2, 3, 4))},
        )
        yield Operator(f"{name}.Tensor", (*two(), *parameter), {"alpha": [1, 2, 0.5, -1]})
        yield Operator(f"{name}.Tensor", self_of(*SHAPES), {"other": [1.5, -2], "alpha": [1, 2]})
    yield Operator("add.Tensor", two(values=7), {"alpha": [1, 3]})
    yield Operator("rsub.Scalar", self_of(*SHAPES), {"other": [1, 2.5], "alpha": [1, 3]})
    for name in ("mul", "div", "remainder", "fmod", "maximum", "minimum", "atan2", "copysign", "hypot", "logaddexp"):
        overload = "default" if name in ("maximum", "minimum", "atan2", "hypot", "logaddexp") else "Tensor"
        values = "positive" if name in ("div", "remainder", "fmod") else "normal"
        yield Operator(f"{name}.{overload}", two(values=values))
    yield Operator(
        "mul.Tensor",
        ({"self": Given((2, 3, 4)), "other": stored(3, 1)}, {"self": stored(3, 4), "other": Given((2, 3, 4))}),
    )
    yield Operator("mul.Tensor", self_of(*SHAPES), {"other": [0.5, -3, 0]})
    yield Operator("mul.Tensor", two(values=7))
    yield Operator("div.Tensor", self_of(*SHAPES), {"other": [0.5, -3]})
    yield Operator("div.Tensor", ({"self": Given((2, 3, 4)), "other": stored(3, 1, values="positive")},))


def _powers_and_remainders() -> Iterator[Operator]:
    modes = {"rounding_mode": [None, "floor", "trunc"]}
    yield Operator("div.Tensor_mode", (*two(values="positive"), {"self": Given((2, 4)), "other": stored(4)}), modes)
    yield Operator("div.Tensor_mode", ({"self": Given((2, 4), 9), "other": stored(4, values=(1, 5))},), modes)
    yield Operator("div.Tensor_mode", self_of((2, 4)), {**modes, "other": [0.7, -0.7]})
    yield Operator("floor_divide.default", ({"self": Given((2, 4)), "other": stored(4, values="positive")},))
    yield Operator("floor_divide.default", self_of((2, 4), values=9), {"other": [2, -2]})
    yield Operator("remainder.Scalar", self_of((2, 5)), {"other": [0.7, -0.7]})
    yield Operator("fmod.Scalar", self_of((2, 5)), {"other": [0.7, -0.7]})
    yield Operator("remainder.Scalar", self_of((2, 5), values=9), {"other": [3, -2]})
    yield Operator(
        "pow.Tensor_Scalar", self_of(*SHAPES, values="positive"), {"exponent": [2, 3, 0.5, -1, -0.5, 0, 1, 1.7]}
    )
    yield Operator("pow.Tensor_Scalar", self_of((2, 5)), {"exponent": [2, 3]})
    yield Operator(
        "pow.Tensor_Tensor",
        (
            {"self": Given((2, 5), "positive"), "exponent": Given((2, 5))},
            {"self": Given((2, 5), "positive"), "exponent": stored(5)},
        ),
    )
    yield Operator("pow.Scalar", ({"exponent": Given((2, 5))},), {"self": [2, 0.5]})


def _of_three() -> Iterator[Operator]:
    yield Operator(
        "addcmul.default",
        ({"self": Given((2, 4)), "tensor1": Given((2, 4)), "tensor2": stored(4)},),
        {"value": [1, 0.5]},
    )
    yield Operator(
        "addcdiv.default",
        ({"self": Given((2, 4)), "tensor1": Given((2, 4)), "tensor2": stored(4, values="positive")},),
        {"value": [1, 0.5]},
    )
    yield Operator("lerp.Scalar", ({"self": Given((2, 4)), "end": Given((2, 4))},), {"weight": [0.3, 0.7]})
    yield Operator("lerp.Tensor", ({"self": Given((2, 4)), "end": Given((2, 4)), "weight": stored(4)},))
    yield Operator("xlogy.Tensor", two(values="positive"))
    yield Operator("heaviside.default", ({"self": Given((2, 4)), "values": stored(4)},), {})
    yield Operator("cross.default", ({"self": Given((2, 3, 4)), "other": Given((2, 3, 4))},), {"dim": [1]})
    yield Operator("max.other", two())
    yield Operator("min.other", two())


def _reductions() -> Iterator[Operator]:
    given, dims = self_of((2, 3, 4, 5), (1, 3, 4, 5)), [[1], [2, 3], [-1], [-2, 1], [0, 2], [1, 2, 3]]
    keeps = {"keepdim": [False, True]}
    yield Operator("mean.dim", given, {"dim": [*dims, None], **keeps})
    yield Operator("mean.default", given)
    yield Operator("sum.dim_IntList", given, {"dim": [*dims, None, []], **keeps})
    yield Operator("sum.dim_IntList", self_of((2, 3, 4), values=9), {"dim": [[1], [-1]], **keeps})
    yield Operator("sum.default", given)
    for name in ("amax", "amin"):
        yield Operator(f"{name}.default", given, {"dim": [*dims, []], **keeps})
    for name in ("max", "min", "median"):
        yield Operator(f"{name}.dim", given, {"dim": [1, -1, 2], **keeps})
    for name in ("argmax", "argmin"):
        yield Operator(f"{name}.default", given, {"dim": [1, -1, None], **keeps})
    yield Operator("max.default", given)
    yield Operator("min.default", given)
    yield Operator("prod.default", self_of((2, 3), values="positive"))
    yield Operator("prod.dim_int", self_of((2, 3, 4), values="positive"), {"dim": [1, -1], **keeps})
    for name in ("any", "all"):
        yield Operator(f"{name}.dim", self_of((2, 3, 4), values="bool"), {"dim": [1, -1], **keeps})
        yield Operator(f"{name}.default", self_of((2, 3), values="bool"))
    for name in ("cumsum", "cumprod", "logcumsumexp"):
        yield Operator(f"{name}.default", given, {"dim": [1, -1, 0]})
    yield Operator("cumsum.default", self_of((2, 4), values=7), {"dim": [1, -1]})
    yield Operator("logsumexp.default", given, {"dim": [[1], [2, 3], [-1]], **keeps})
    for name in ("var", "std"):
        yield Operator(
            f"{name}.correction", given, {"dim": [[1], [2, 3], [-1], None], "correction": [None, 0, 1, 2], **keeps}
        )
        yield Operator(f"{name}.dim", given, {"dim": [[1], [2, 3], None], "unbiased": [True, False], **keeps})
        yield Operator(f"{name}.default", given, {"unbiased": [True, False]})
        yield Operator(f"{name}_mean.correction", given, {"dim": [[1], [2, 3]], "correction": [None, 0, 2], **keeps})
    yield Operator("norm.ScalarOpt_dim", given, {"p": [2, 1, None, 3], "dim": [[1], [2, 3]], **keeps})
    yield Operator(
        "linalg_vector_norm.default",
        given,
        {"ord": [2, 1, 0, 3, float("inf"), -float("inf")], "dim": [[1], [-1], [2, 3], None], **keeps},
    )


def _distances() -> Iterator[Operator]:
    given, keeps = self_of((2, 3, 4, 5), (1, 3, 4, 5)), {"keepdim": [False, True]}
    yield Operator(
        "cosine_similarity.default",
        ({"x1": Given((2, 3, 4)), "x2": Given((2, 3, 4))},),
        {"dim": [1, -1], "eps": [1e-8, 0.5]},
    )
    yield Operator(
        "pairwise_distance.default",
        ({"x1": Given((2, 4)), "x2": Given((2, 4))},),
        {"p": [2, 1], "eps": [1e-6, 0.1], **keeps},
    )
    yield Operator("count_nonzero.default", self_of((2, 5), values=3), {"dim": [None]})
    yield Operator("aminmax.default", given, {"dim": [None, 1, -1], **keeps})


def _comparisons() -> Iterator[Operator]:
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        yield Operator(f"{name}.Scalar", (*self_of((2, 5)), *self_of((2, 5), values=5)), {"other": [0, 2]})
        yield Operator(f"{name}.Tensor", (*two(), *two(values=3)))
    for name in ("logical_and", "logical_or", "logical_xor"):
        yield Operator(f"{name}.default", two(values="bool"))
    yield Operator("bitwise_and.Tensor", (*two(values="bool"), *two(values=9)))
    yield Operator("__and__.Tensor", two(values="bool"))
    yield Operator("bitwise_or.Tensor", two(values="bool"))
    yield Operator("bitwise_not.default", self_of((2, 5), values="bool"))


def _casts() -> Iterator[Operator]:
    from_real = (*self_of((2, 5)), *self_of((2, 5), values=9), *self_of((2, 5), values="bool"))
    yield Operator(
        "to.dtype", from_real, {"dtype": ["float32", "int64", "bool", "int32", "float64", "float16", "uint8", "int8"]}
    )
    yield Operator("_to_copy.default", from_real, {"dtype": ["float32", "int64", "bool"]})


VALUES = (
    *_functions(),
    *_arithmetic(),
    *_powers_and_remainders(),
    *_of_three(),
    *_reductions(),
    *_distances(),
    *_comparisons(),
    *_casts(),
)
