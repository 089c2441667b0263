import pytest
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy import lower
from microjoule.deploy.locate import first_wrong_operator, place_of
from microjoule.graph.ops import aten
from tests.deploy.networks import Function, images, small


class Model(nn.Module):
    def forward(self, x):
        y = x.sigmoid() + 1
        pooled = F.avg_pool2d(y, 2, divisor_override=3)
        return pooled.exp()


@pytest.fixture
def as_torch_writes_it(monkeypatch):
    """Without our replacement torch's exporter leaves the divisor away."""
    monkeypatch.delitem(lower.LOWERINGS, aten.avg_pool2d.default)


def test_the_first_operator_that_differs_is_named_with_the_users_line(as_torch_writes_it):
    network = capture(Model(), images(2, 3, 6, 6))
    found = first_wrong_operator(network, [images(3, 3, 6, 6)])
    assert found.place.startswith("avg_pool2d (avg_pool, ")
    assert "test_locate.py" in found.place
    assert "`pooled = F.avg_pool2d(y, 2, divisor_override=3)`" in found.place
    assert found.difference == pytest.approx(0.25)  # a sum over 4 is 3 quarters of one over 3


def test_a_right_file_has_none():
    assert first_wrong_operator(capture(Model(), images(2, 3, 6, 6)), [images(3, 3, 6, 6)]) is None


@pytest.mark.slow
def test_a_quantized_network_is_looked_at_as_well(as_torch_writes_it):
    network, x = small("average pool")
    assert first_wrong_operator(network, [x]) is None
    (pool,) = [node for node in network.graph.nodes if node.target is aten.avg_pool2d.default]
    pool.args = (*pool.args[:2], [], [0, 0], False, True, 5)
    network.recompile()
    assert first_wrong_operator(network, [x]).place.startswith(pool.name)


@pytest.mark.parametrize(
    "pick",
    [
        lambda x: x.topk(3, 1)[1],
        lambda x: x.argmax(1),
        lambda x: x.argmax(),
        lambda x: x.max(1)[1],
        lambda x: x.sort(1)[1],
        lambda x: x.argsort(1),
    ],
)
def test_any_of_equal_values_may_be_picked(pick):
    """Whole numbers, of which many are equal."""
    x = images(3, 40).round()
    assert first_wrong_operator(capture(Function(lambda m, y: pick(y)), images(2, 40)), [x]) is None


def test_a_place_without_a_line_is_the_node_and_its_operator():
    network = capture(nn.Sequential(nn.ReLU()), images(2, 3))
    (node,) = [one for one in network.graph.nodes if one.op == "call_function"]
    node.meta.clear()
    assert place_of(network, node) == f"{node.name} (relu)"
