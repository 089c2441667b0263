"""One call on a plain module, in the manner of AIMET: smaller, an ordinary module, the model left alone."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError, SettingError

X = torch.randn(64, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 3), nn.Flatten(), nn.Linear(32, 4))
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def score(model):
    with torch.no_grad():
        wanted = model(X)

    def closeness(one):
        with torch.no_grad():
            return -(one(X) - wanted).square().mean()

    return closeness


def work(model):
    return mj.costs(mj.capture(model, X[:2])).macs


@pytest.mark.parametrize("scheme", ["low_rank", "channel_pruning", "auto"])
def test_it_is_cheaper_by_the_means_that_were_asked_for(model, score, scheme):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = mj.compress_model(model, X[:2], eval_callback=score, data=X, scheme=scheme, macs=0.6)
    layers = [one for one in made.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    assert work(made) <= 0.6 * work(model)
    assert made(X).shape == (64, 4)
    assert not made.training
    if scheme == "low_rank":
        assert len(layers) > 3
        assert any(isinstance(one, nn.BatchNorm2d) and one.num_features == 12 for one in made.modules())
    if scheme == "channel_pruning":
        assert len(layers) == 3
        assert layers[0].out_channels < 12
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


SEEN = []


def fake(one):
    SEEN.append(sum(isinstance(module, nn.Conv2d | nn.Linear) for module in one.modules()))
    return 10 if len(SEEN) == 6 else len(SEEN) / 10


def test_the_way_that_the_callback_likes_best_is_taken(model, tmp_path):
    SEEN.clear()
    made = mj.compress_model(model, X[:2], eval_callback=fake, data=X, macs=0.6, folder=tmp_path)
    assert len(SEEN) == 6  # the original and five ways, of which the last is channels alone
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in made.modules()) == SEEN[0] == 3
    again = mj.compress_model(model, X[:2], eval_callback=fake, data=X, macs=0.6, folder=tmp_path)
    assert len(SEEN) == 6
    assert torch.equal(made(X), again(X))
    with pytest.raises(FileError, match="differs in eval_callback"):
        mj.compress_model(model, X[:2], eval_callback=lambda _: 1, data=X, macs=0.6, folder=tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheme": "spatial_svd", "macs": 0.5}, r"scheme: is 'spatial_svd'\n.*auto, low_rank, channel_pruning"),
        ({}, "budget: is missing"),
        ({"macs": 0.5, "eval_callback": lambda _: "good"}, "eval_callback: gives a str, and no number"),
        ({"macs": 0.5, "eval_callback": lambda _: torch.ones(2)}, "eval_callback: gives a Tensor, and no number"),
        ({"macs": 0.5, "eval_callback": lambda _: float("nan")}, "eval_callback: gives nan"),
        ({"macs": 0.5, "criterion": "size"}, "criterion: is 'size'"),
    ],
    ids=["scheme", "no budget", "text", "several numbers", "nan", "criterion"],
)
def test_bad_input_is_refused(model, settings, message):
    given = {"eval_callback": lambda _: 1.0, "data": X, **settings}
    with pytest.raises(SettingError, match=message):
        mj.compress_model(model, X[:2], **given)
