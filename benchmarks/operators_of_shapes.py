"""Operators that move, pick, join or make values, and the values that their attributes take."""

from collections.abc import Iterator
from typing import Any

from benchmarks.operator_cases import Given, Operator
from benchmarks.operators_of_images import self_of
from benchmarks.operators_of_layers import stored

GIVEN = self_of((2, 3, 4, 5), (1, 3, 4, 5), (3, 1, 4, 5))
END = 9223372036854775807


def _views() -> Iterator[Operator]:
    for name, key in (("view", "size"), ("reshape", "shape")):
        yield Operator(f"{name}.default", self_of((2, 3, 4)), {key: [[2, 12], [-1, 4], [2, 2, 6], [2, 1, 3, 4], [24]]})
    yield Operator("reshape_as.default", ({"self": Given((2, 3, 4)), "other": Given((2, 12))},))
    yield Operator("flatten.using_ints", GIVEN, {"start_dim": [0, 1, -2], "end_dim": [-1, 2]})
    yield Operator("unflatten.int", self_of((2, 6, 4)), {"dim": [1, -2], "sizes": [[2, 3], [-1, 2]]})
    ones = self_of((2, 1, 4, 1), (1, 1, 4, 1))
    yield Operator("squeeze.dim", ones, {"dim": [1, -1, 2, 0]})
    yield Operator("squeeze.dims", ones, {"dim": [[1, 3], [-1], [1, 2]]})
    yield Operator("squeeze.default", ones)
    yield Operator("unsqueeze.default", GIVEN, {"dim": [1, -1, 0, 4]})
    yield Operator("permute.default", GIVEN, {"dims": [[0, 2, 3, 1], [0, -1, 1, 2], [1, 0, 3, 2]]})
    yield Operator("transpose.int", GIVEN, {"dim0": [1, -1], "dim1": [2, -2]})
    yield Operator("swapaxes.default", GIVEN, {"axis0": [1], "axis1": [-1, 2]})
    yield Operator("movedim.int", GIVEN, {"source": [1, -1], "destination": [2, 1]})
    yield Operator("t.default", self_of((2, 5)))
    yield Operator("mT.default", GIVEN)
    yield Operator("expand.default", self_of((2, 1, 4), (1, 1, 4)), {"size": [[2, 3, 4], [-1, 3, -1], [3, 2, 5, 4]]})
    yield Operator("broadcast_to.default", self_of((2, 1, 4)), {"size": [[2, 3, 4]]})
    yield Operator("repeat.default", self_of((2, 3, 4)), {"repeats": [[1, 2, 1], [1, 1, 3], [2, 1, 1, 1], [1, 1, 1]]})
    yield Operator("tile.default", self_of((2, 3, 4)), {"dims": [[2], [1, 2, 1]]})
    yield Operator(
        "repeat_interleave.self_int",
        self_of((2, 3, 4)),
        {"repeats": [2, 3], "dim": [1, -1, None], "output_size": [None]},
    )
    yield Operator("expand_as.default", ({"self": Given((2, 1, 4)), "other": Given((2, 3, 4))},))


def _turns() -> Iterator[Operator]:
    yield Operator("flip.default", GIVEN, {"dims": [[2], [-1], [1, 3], [0]]})
    yield Operator("roll.default", GIVEN, {"shifts": [[1], [-2], [7]], "dims": [[1], [-1], []]})
    yield Operator("roll.default", GIVEN, {"shifts": [[1, -1]], "dims": [[2, 3], [-2, 1]]})
    yield Operator("rot90.default", GIVEN, {"k": [1, 2, 3, -1, 4], "dims": [[2, 3], [1, 3], [-1, -2]]})
    yield Operator("diagonal.default", self_of((2, 4, 4)), {"offset": [0, 1, -1], "dim1": [1], "dim2": [2]})
    yield Operator("tril.default", GIVEN, {"diagonal": [0, 1, -1]})
    yield Operator("triu.default", GIVEN, {"diagonal": [0, 1, -1]})
    yield Operator(
        "as_strided.default", self_of((2, 6)), {"size": [[2, 3]], "stride": [[6, 2]], "storage_offset": [None, 1]}
    )
    yield Operator("atleast_2d.default", self_of((2, 3)))
    yield Operator("clone.default", GIVEN)
    yield Operator("contiguous.default", GIVEN)
    yield Operator("alias.default", GIVEN)
    yield Operator("detach.default", GIVEN)


def _cuts() -> Iterator[Operator]:
    yield Operator(
        "slice.Tensor",
        self_of((2, 6, 5)),
        {"dim": [1, -1, 2], "start": [None, 1, -3, 9], "end": [None, 4, -1, END], "step": [1, 2]},
    )
    yield Operator("select.int", GIVEN, {"dim": [1, -1, 2], "index": [0, -1, 2]})
    yield Operator("narrow.default", GIVEN, {"dim": [1, -1], "start": [0, 1], "length": [2, 1]})
    yield Operator("split.Tensor", self_of((2, 7, 6)), {"split_size": [3, 7, 2], "dim": [1, -1]})
    yield Operator(
        "split_with_sizes.default",
        self_of((2, 7, 7)),
        {"split_sizes": [[3, 4], [1, 2, 4], [7], [0, 7]], "dim": [1, -1]},
    )
    yield Operator("chunk.default", self_of((2, 7, 6)), {"chunks": [3, 2, 8], "dim": [1, -1]})
    yield Operator("tensor_split.sections", self_of((2, 7, 6)), {"sections": [3, 2], "dim": [1, -1]})
    yield Operator("unbind.int", self_of((2, 3, 4)), {"dim": [1, -1]})


def _picks() -> Iterator[Operator]:
    yield Operator(
        "index_select.default", ({"self": Given((2, 5, 4)), "index": stored(3, values=4)},), {"dim": [1, -1]}
    )
    yield Operator(
        "gather.default",
        (
            {"self": Given((2, 3, 4)), "index": Given((2, 3, 4), 3)},
            {"self": Given((2, 3, 4)), "index": Given((2, 2, 1), 3)},
        ),
        {"dim": [1, -1, 2], "sparse_grad": [False]},
    )
    yield Operator(
        "take_along_dim.default", ({"self": Given((2, 3, 4)), "indices": Given((2, 2, 4), 3)},), {"dim": [1, -2]}
    )
    for index in (
        (stored(2, values=2),),
        (None, stored(3, values=3)),
        (None, None, stored(2, values=4)),
        (None, stored(2, values=3), stored(2, values=4)),
        (None, stored(2, 2, values=3)),
        (None, stored(2, values=3), None, stored(2, values=5)),
    ):
        yield Operator("index.Tensor", ({"self": Given((2, 3, 4, 5)), "indices": index},))
    yield Operator("index.Tensor", ({"self": Given((2, 3)), "indices": (Given((2, 3), "bool"),)},))


def _joins() -> Iterator[Operator]:
    two = tuple(map(Given, ((2, 3, 4), (2, 3, 4))))
    apart = tuple(map(Given, ((2, 3, 4), (2, 1, 4), (2, 2, 4))))
    one: dict[str, Any] = {"tensors": two}
    for name in ("cat", "concat", "stack"):
        more = ({"tensors": (Given((2, 3, 4)), stored(2, 3, 4))}, {"tensors": two[:1]}) if name != "concat" else ()
        yield Operator(f"{name}.default", (one, *more), {"dim": [1, -1, -2, 0]})
    yield Operator("cat.default", ({"tensors": apart},), {"dim": [1, -2]})
    yield Operator("cat.default", ({"tensors": (Given((2, 3), 5), Given((2, 2), 5))},), {"dim": [1]})
    yield Operator("hstack.default", (one,))
    yield Operator("vstack.default", (one,))
    yield Operator("dstack.default", (one,))
    yield Operator("column_stack.default", (one,))
    yield Operator("meshgrid.indexing", ({"tensors": (stored(3), stored(4))},), {"indexing": ["ij", "xy"]})


def _choices() -> Iterator[Operator]:
    for name in ("sort.default", "argsort.default"):
        yield Operator(name, GIVEN, {"dim": [-1, 1], "descending": [False, True]})
    yield Operator("sort.stable", GIVEN, {"stable": [True], "dim": [-1, 1], "descending": [False, True]})
    yield Operator("topk.default", GIVEN, {"k": [2, 1], "dim": [-1, 2], "largest": [True, False], "sorted": [True]})
    yield Operator("kthvalue.default", GIVEN, {"k": [2], "dim": [-1, 2], "keepdim": [False, True]})
    mask = {"self": Given((2, 3, 4)), "mask": Given((2, 3, 4), "bool")}
    wide = {"self": Given((2, 3, 4)), "mask": Given((2, 1, 4), "bool")}
    kept = {"self": Given((2, 3, 4)), "mask": stored(3, 4, values="bool")}
    yield Operator("masked_fill.Scalar", (mask, wide, kept), {"value": [0, -1e4, 1.5, float("-inf")]})
    yield Operator("masked_fill.Tensor", ({**mask, "value": stored()},))
    yield Operator(
        "where.self",
        (
            {"condition": Given((2, 3, 4), "bool"), "self": Given((2, 3, 4)), "other": Given((2, 3, 4))},
            {"condition": Given((2, 1, 4), "bool"), "self": Given((2, 3, 1)), "other": Given((2, 3, 4))},
            {"condition": stored(3, 4, values="bool"), "self": Given((2, 3, 4)), "other": stored(4)},
        ),
    )
    yield Operator(
        "where.ScalarOther", ({"condition": Given((2, 3), "bool"), "self": Given((2, 3))},), {"other": [0.5, -1]}
    )
    yield Operator(
        "where.ScalarSelf", ({"condition": Given((2, 3), "bool"), "other": Given((2, 3))},), {"self": [0.5, -1]}
    )


def _scatters() -> Iterator[Operator]:
    index = {"self": Given((2, 3, 4)), "index": Given((2, 2, 4), 3)}
    yield Operator("scatter.value", (index,), {"dim": [1], "value": [0.5, 2]})
    unlike = {"self": Given((2, 3, 4)), "index": stored(1, 3, 4, values="distinct"), "src": Given((2, 3, 4))}
    yield Operator("scatter.src", (unlike,), {"dim": [1]})
    yield Operator("scatter_add.default", ({**index, "src": Given((2, 2, 4))},), {"dim": [1]})
    yield Operator(
        "scatter_reduce.two",
        ({**index, "src": Given((2, 2, 4))},),
        {"dim": [1], "reduce": ["sum", "amax", "amin", "prod", "mean"], "include_self": [True, False]},
    )
    put = {"self": Given((2, 3)), "indices": (None, stored(2, values="distinct")), "values": stored(2)}
    yield Operator("index_put.default", (put,), {"accumulate": [False, True]})
    yield Operator(
        "index_add.default",
        ({"self": Given((2, 3)), "index": stored(2, values=3), "source": Given((2, 2))},),
        {"dim": [1], "alpha": [1, 2]},
    )
    yield Operator(
        "index_fill.int_Scalar", ({"self": Given((2, 3)), "index": stored(2, values=3)},), {"dim": [1], "value": [2.0]}
    )
    yield Operator(
        "select_scatter.default", ({"self": Given((2, 3, 4)), "src": Given((2, 4))},), {"dim": [1], "index": [0, 2, -1]}
    )
    yield Operator(
        "slice_scatter.default",
        ({"self": Given((2, 5, 4)), "src": Given((2, 2, 4))},),
        {"dim": [1], "start": [1], "end": [3], "step": [1]},
    )
    yield Operator("one_hot.default", self_of((2, 3), values=5), {"num_classes": [5, 7]})
    yield Operator("nonzero.default", self_of((2, 3), values=3))
    yield Operator(
        "bucketize.Tensor",
        ({"self": Given((2, 4)), "boundaries": stored(3, values="sorted")},),
        {"out_int32": [False], "right": [False, True]},
    )


def _makers() -> Iterator[Operator]:
    for name in ("zeros_like", "ones_like"):
        yield Operator(f"{name}.default", GIVEN)
    yield Operator("full_like.default", GIVEN, {"fill_value": [1.5, 0]})
    for name in ("new_zeros", "new_ones"):
        yield Operator(f"{name}.default", GIVEN, {"size": [[2, 3]]})
    yield Operator("new_full.default", GIVEN, {"size": [[2, 3]], "fill_value": [1.5]})


SHAPES = (*_views(), *_turns(), *_cuts(), *_picks(), *_joins(), *_choices(), *_scatters(), *_makers())
