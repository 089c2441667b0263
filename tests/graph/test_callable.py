import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.callable import as_module
from tests.capture.models import images


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, batch, *, scale):
        return {"out": self.linear(batch["x"]) * batch["y"][0] * scale}


def test_a_model_of_tensors_is_the_graph_itself():
    network = capture(nn.Sequential(nn.Linear(4, 3)), images(2, 4))
    assert as_module(network) is network.module


def test_dicts_and_keywords_are_taken_as_the_model_takes_them():
    module, x, y = Nested(), images(2, 4), torch.tensor(3.0)
    network = capture(module, ({"x": x, "y": (y,)},), {"scale": torch.tensor(2.0)})
    plain = as_module(network)
    batch = {"x": images(5, 4), "y": (torch.tensor(0.5),)}
    found = plain(batch, scale=torch.tensor(4.0))
    assert torch.equal(found["out"], module(batch, scale=torch.tensor(4.0))["out"])
    assert plain.get_submodule("linear") is network.module.get_submodule("linear")
