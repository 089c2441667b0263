import pytest
import torch

from microjoule.graph.file.measured_mode import BYTE_WORK, META, MOST_CALLS, Measured, TooLargeError, bytes_of, on_meta

aten = torch.ops.aten


def measured(function, *args, most_bytes=10**9, most_work=10**15):
    mode = Measured(most_bytes, most_work)
    with torch.no_grad(), mode:
        function(*args)
    return mode


def empty(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device=META)


def test_bytes_are_those_of_all_tensors():
    assert bytes_of((torch.ones(3), [torch.ones(2, dtype=torch.int8)], {"a": 3})) == 14


def test_values_go_and_shapes_stay():
    x = torch.ones(2, 3).T
    found = on_meta({"x": x, "n": 3, "d": torch.device("cpu")})
    assert (found["x"].device, found["x"].shape, found["x"].stride(), found["n"]) == (META, (3, 2), (1, 3), 3)
    assert found["d"] == META


def test_a_product_of_matrices_by_hand():
    mode = measured(torch.mm, empty(2, 3), empty(3, 5))
    assert mode.bytes == 2 * 5 * 4
    assert mode.work == 2 * 3 * 5 + BYTE_WORK * mode.bytes


def test_what_an_operator_makes_on_its_way_counts():
    """A product with another in each of many places is one of copies."""
    assert (
        measured(lambda: aten.matmul.default(empty(7, 1, 2, 3), empty(1, 9, 3, 4))).bytes
        >= 7 * 9 * (2 * 3 + 3 * 4 + 2 * 4) * 4
    )


def test_views_take_no_bytes_and_have_a_size_all_the_same():
    assert measured(lambda x: x.expand(1000, 4), empty(4)).bytes == 0
    with pytest.raises(TooLargeError, match="a value would take 4,000,000,000 bytes, and 1,000,000,000 are the most"):
        measured(lambda x: x.expand(10**9), empty(1))


@pytest.mark.parametrize(
    "function",
    [
        lambda: aten.zeros.default([10**6, 10**6]),
        lambda: aten.arange.default(10**12),
        lambda: aten.full.default([10**10], 1.0, device=torch.device("cpu")),
        lambda: aten.repeat.default(empty(10), [10**9]),
        lambda: aten.constant_pad_nd.default(empty(10), [0, 10**10]),
        lambda: aten.upsample_nearest2d.vec(empty(1, 1, 8, 8), [10**5, 10**5], None),
        lambda: aten.eye.default(10**6),
        lambda: aten.one_hot.default(empty(10, dtype=torch.int64), 10**9),
        lambda: aten.linspace.default(0, 1, 10**11),
    ],
)
def test_a_number_cannot_ask_for_any_size(function):
    with pytest.raises(TooLargeError, match=r"a value would take [\d,]+ bytes"):
        measured(function)


@pytest.mark.parametrize(
    "function",
    [
        lambda: aten.unbind.int(empty(10**6, dtype=torch.int8)),
        lambda: aten.split.Tensor(empty(2, 10**6, dtype=torch.int8), 1, 1),
        lambda: aten.chunk.default(empty(10**6, dtype=torch.int8), 10**9),
        lambda: aten.tensor_split.sections(empty(10), MOST_CALLS + 1),
    ],
)
def test_nor_for_any_number_of_pieces(function):
    with pytest.raises(TooLargeError, match="gives more than 100,000 tensors, or needs as many operators"):
        measured(function)


def test_ordinary_pieces_are_given():
    mode = measured(aten.split.Tensor, empty(2, 10**6), 10**4, 1)
    assert mode.bytes == 0


@pytest.mark.parametrize(
    ("target", "args"),
    [
        (aten.mm.default, (empty(20_000, 10_000), empty(10_000, 12_000))),
        (aten.linalg_svd.default, (empty(8000, 8000),)),
        (aten.special_zeta.default, (empty(10**8), empty(10**8))),
        (aten.cdist.default, (empty(5000, 10**5), empty(5000, 10**5))),
        (aten.avg_pool2d.default, (empty(1, 1, 9000, 9000), [900, 900], [1, 1])),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else str(value),
)
def test_nor_for_any_time(target, args):
    with pytest.raises(TooLargeError, match=r"it would take .* multiplications, and 1e[+]11 are the most"):
        measured(target, *args, most_bytes=10**11, most_work=10**11)
