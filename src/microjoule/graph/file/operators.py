"""The operators that a saved network may name: ATen's, by exact overload, out of a list that was written beforehand.

A name from a file is looked up in that list and nowhere else. `operators.txt` holds every overload of torch's
dispatcher that only computes: it writes into nothing that it is given, draws no random numbers, reaches no file, device
or process, takes and gives plain tensors, numbers and texts, and checks where it reads. It is made anew with

    python -m microjoule.graph.file.operators > src/microjoule/graph/file/operators.txt

An overload that the running version of torch lacks is not available; one that it adds has to be put on the list.
"""

import math
import operator
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import torch

from microjoule.errors import SettingError

ATEN = "aten."

PYTHON: dict[str, Callable[..., Any]] = {
    **{
        f"python.{function.__name__}": function
        for function in (
            *(operator.getitem, operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv),
            *(operator.mod, operator.neg, operator.pos, operator.pow, operator.and_, operator.or_, operator.not_),
            *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
        )
    },
    **{f"math.{function.__name__}": function for function in (math.ceil, math.floor, math.trunc)},
    **{
        f"torch.{function.__name__}": function
        for function in (
            torch.sym_int,
            torch.sym_float,
            torch.sym_max,
            torch.sym_min,
            torch.sym_not,
            torch.sym_ite,
            torch.sym_sqrt,
        )
    },
}
"""Functions of sizes, and `getitem`, which takes one of several outputs."""

# The list ------------------------------------------------------------------------------------------------------------


def operator_name(target: Any) -> str | None:
    """What a file calls an operator; None if it has no name there.

    Args:
        target: of a node that calls a function.
    """
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    return _python_names().get(target)


def operator_at(name: str, allowed: Mapping[str, Any]) -> Any:
    """The operator of a name.

    Args:
        name: as a file has it.
        allowed: operators beyond the list, by name, that the caller takes responsibility for.

    Raises:
        KeyError: if it is not on the list.
    """
    if name in PYTHON:
        return PYTHON[name]
    if name in allowed:
        return allowed[name]
    if name not in listed():
        raise KeyError(f"the operator {name}, which is not on the list")
    found = _overload(name)
    if found is None:
        raise KeyError(f"the operator {name}, which torch {torch.__version__} lacks")
    return found


@cache
def listed() -> frozenset[str]:
    """The names on the list."""
    text = resources.files("microjoule.graph.file").joinpath("operators.txt").read_text("utf-8")
    return frozenset(line for line in text.split("\n") if line and not line.startswith("#"))


@cache
def _overload(name: str) -> Any:
    """The operator of a name that is on the list."""
    _, packet, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, packet, None), overload, None)


@cache
def _python_names() -> dict[Any, str]:
    return {function: name for name, function in PYTHON.items()}


def by_name(operators: Iterable[Any]) -> dict[str, Any]:
    """Operators that a caller hands over, by name.

    Raises:
        SettingError: for something else than an operator's overload.
    """
    found = {}
    for one in operators:
        if not isinstance(one, torch._ops.OpOverload):
            raise SettingError(
                "allow",
                f"holds {one!r}, which is no class of modules and no operator's overload",
                remedy="give classes, or overloads such as torch.ops.mine.operator.default",
            )
        found[str(one)] = one
    return found


# How the list is made -------------------------------------------------------------------------------------------------

DRAWS_IF_ASKED = re.compile(
    r"(native_|feature_|alpha_|feature_alpha_)?dropout|rrelu|(lstm|gru|rnn_tanh|rnn_relu)"
    r"|_?scaled_dot_product_(attention|flash_attention_for_cpu)"
)
"""Operators that draw random numbers only in training."""

INTERNAL = frozenset(
    (
        *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_conj", "_convolution", "_euclidean_dist", "_fft_c2c"),
        *("_fft_c2r", "_fft_r2c", "_is_all_true", "_is_any_true", "_local_scalar_dense", "_log_softmax", "_to_copy"),
        *("_native_batch_norm_legit_functional", "_native_batch_norm_legit_no_training", "_prelu_kernel"),
        *("_safe_softmax", "_scaled_dot_product_flash_attention_for_cpu", "_shape_as_tensor", "_softmax", "_stack"),
        *("_trilinear", "_unique2", "_unsafe_index", "_unsafe_index_put", "_unsafe_view", "_upsample_bicubic2d_aa"),
        *("_upsample_bilinear2d_aa", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_pdist_forward"),
        *(
            "_upsample_nearest_exact3d",
            "_weight_norm",
            "_weight_norm_interface",
            "_cdist_forward",
            "_weight_int8pack_mm",
        ),
        *("__and__", "__or__", "__xor__", "__lshift__", "__rshift__", "_logcumsumexp", "_conj_physical"),
    )
)
"""Operators for torch's own use that exported networks call; others may trust what they are given."""

LEFT_OUT = re.compile(
    r".*(backward|_jvp|_grad|overrideable).*"  # of training
    r"|ctc_loss|segment_reduce|slice_inverse"  # read as far as their data says
    r"|(cudnn|miopen|mkldnn|mps|fbgemm|slow_conv|thnn|batch_norm_|conv_depthwise3d).*"  # kernels of one device
    r"|.*(sparse|nested|jagged|padded_tensor|coalesce|mkldnn|quantized|qparams).*|((crow|ccol|col|row)_)?indices(_copy)?"
    r"|(values|values_copy|hspmm|smm|sspaddmm|dequantize|int_repr|q_.*|quantize_per_.*|to_dense|native_norm)"
    r"|from_file|pin_memory|data|resize.*|set|get_device|hash_tensor"  # files, devices, memory
    r"|special_.*_polynomial_.*"  # take as long as a number says
    r"|output_nr|is_leaf|retains_grad"
)
"""Names of operators that are not on the list though their schema has no side effect."""

BY_DIMENSION_NAME = re.compile(r".*name.*", re.IGNORECASE)
"""Overloads for tensors whose dimensions have names."""

PLAIN = frozenset(
    f"{before}{kind}{after}"
    for kind in ("Tensor", "int", "bool", "float", "number", "str", "Device", "Generator")
    for before, after in (
        ("", ""),
        ("Optional[", "]"),
        ("List[", "]"),
        ("Optional[List[", "]]"),
        ("List[Optional[", "]]"),
    )
)
GIVEN = frozenset(("Tensor", "List[Tensor]"))
SIZES = frozenset(("size.int", "sym_size.int", "sym_stride.int", "sym_numel.default", "sym_storage_offset.default"))
NUMBERS = SIZES | {"item.default", "_local_scalar_dense.default"}
"""Overloads that give a number."""


def overloads() -> Iterator[str]:
    """The names of all of torch's overloads that belong on the list, in order."""
    schemas = {(schema.name, schema.overload_name): schema for schema in torch._C._jit_get_all_schemas()}
    names = sorted(name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::"))
    for name in names:
        packet, _, overload = name.removeprefix("aten::").partition(".")
        schema = schemas.get((f"aten::{packet}", overload))
        if schema is not None and _only_computes(packet, overload or "default", schema):
            yield f"{ATEN}{packet}.{overload or 'default'}"


def _only_computes(packet: str, overload: str, schema: Any) -> bool:
    if LEFT_OUT.fullmatch(packet) or (packet.startswith("_") and packet not in INTERNAL):
        return False
    if BY_DIMENSION_NAME.fullmatch(overload):
        return False
    tags = getattr(getattr(torch.ops.aten, packet), overload).tags
    if torch.Tag.nondeterministic_seeded in tags and not DRAWS_IF_ASKED.fullmatch(packet):
        return False
    gives = {str(one.type) for one in schema.returns}
    numbers = f"{packet}.{overload}" in NUMBERS
    takes = {str(one.type) for one in schema.arguments}
    return not schema.is_mutable and takes <= PLAIN and bool(gives) and (numbers or gives <= GIVEN)


if __name__ == "__main__":
    sys.stdout.write(f"# torch {torch.__version__.partition('+')[0]}\n" + "".join(f"{name}\n" for name in overloads()))
