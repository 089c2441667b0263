import pytest
from onnx import helper

from microjoule.deploy.macs import macs, weight_of


@pytest.mark.parametrize(
    ("kind", "inputs", "read", "made", "stored", "attributes", "count"),
    [
        # 2 x 6 x 4 x 4 outputs of 3 x 3 x 3 products
        ("Conv", "x w", [(2, 3, 6, 6), (6, 3, 3, 3)], [(2, 6, 4, 4)], {"w": (6, 3, 3, 3)}, {}, 192 * 27),
        ("QLinearConv", "x s z w ws wz ys yz", [(2, 3, 6, 6)], [(2, 6, 4, 4)], {"w": (6, 3, 3, 3)}, {}, 192 * 27),
        ("Conv", "x w", [(1, 4, 6, 6), (4, 1, 3, 3)], [(1, 4, 4, 4)], {"w": (4, 1, 3, 3)}, {"group": 4}, 64 * 9),
        # each of 1 x 4 x 5 x 5 inputs goes to 3 x 2 x 2 outputs
        ("ConvTranspose", "x w", [(1, 4, 5, 5), (4, 3, 2, 2)], [(1, 3, 6, 6)], {"w": (4, 3, 2, 2)}, {}, 100 * 12),
        ("Gemm", "x w", [(2, 5), (5, 4)], [(2, 4)], {}, {}, 8 * 5),
        ("Gemm", "x w", [(5, 2), (5, 4)], [(2, 4)], {}, {"transA": 1}, 8 * 5),
        ("QGemm", "x s z w", [(2, 5)], [(2, 4)], {}, {}, 8 * 5),
        ("MatMul", "x y", [(2, 3, 5), (2, 5, 4)], [(2, 3, 4)], {}, {}, 24 * 5),
        ("MatMulIntegerToFloat", "x y", [(2, 3, 5)], [(2, 3, 4)], {}, {}, 24 * 5),
        ("Einsum", "x y", [(2, 3, 5), (2, 5, 4)], [(2, 3, 4)], {}, {"equation": "bij,bjk->bik"}, 2 * 3 * 5 * 4),
        (
            "Einsum",
            "x y",
            [(2, 7, 3, 5), (5, 4)],
            [(2, 7, 3, 4)],
            {},
            {"equation": "...ij, jk -> ...ik"},
            2 * 7 * 3 * 5 * 4,
        ),
        ("Einsum", "x", [(2, 3)], [(3, 2)], {}, {"equation": "ij->ji"}, 0),
        # 6 steps of 2 samples with 20 x 3 and 20 x 5 weights
        ("LSTM", "x w r", [(6, 2, 3)], [(6, 1, 2, 5)], {"w": (1, 20, 3), "r": (1, 20, 5)}, {}, 12 * 160),
        ("MultiHeadAttention", "q k v", [(1, 4, 8), (1, 6, 8), (1, 6, 8)], [(1, 4, 8)], {}, {}, 2 * 4 * 6 * 8),
        ("Relu", "x", [(2, 3)], [(2, 3)], {}, {}, None),
        ("MatMul", "x y", [], [], {}, {}, 0),
    ],
)
def test_counts_by_hand(kind, inputs, read, made, stored, attributes, count):  # noqa: PLR0917
    node = helper.make_node(kind, inputs.split(), ["y"], **attributes)
    assert macs(node, read, made, stored) == count


@pytest.mark.parametrize(
    ("kind", "inputs", "weight"),
    [("Conv", "x w b", "w"), ("QLinearConv", "x s z w", "w"), ("QGemm", "x s z w", "w"), ("Relu", "x", "")],
)
def test_the_weight_is_the_second_factor(kind, inputs, weight):
    assert weight_of(helper.make_node(kind, inputs.split(), ["y"])) == weight
