"""What each layer can bear: rows, the metric of each, processes, resuming, and bad input."""

import math
import sys

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, FileError, SettingError
from microjoule.recipes.preparation import fit_and_judge
from microjoule.records.json_io import from_json, to_json

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(3))


class Closeness:
    """How close outputs are to those that are wanted."""

    name, unit = "closeness", "dB"

    def __init__(self):
        self.reset()

    def reset(self):
        self.noise = self.signal = 0.0

    def update(self, outputs, targets):
        self.noise += (outputs - targets).square().sum().item()
        self.signal += targets.square().sum().item()

    def compute(self):
        return 1 - self.noise / self.signal


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    return mj.capture(model.eval(), X[:2])


@pytest.fixture
def labelled(network):
    return X, network(X)


def test_every_layer_and_group_at_every_share(network, labelled):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    record = mj.compression_sensitivity(network, labelled, Closeness(), shares=(0.6, 0.4), calibration=X)
    assert [(row.name, row.kind, row.left, row.full) for row in record.rows] == [
        *(("0", "low rank", rank, 6) for rank in (1, 2)),
        *(("2", "low rank", rank, 16) for rank in (3, 4)),
        *(("4", "low rank", rank, 4) for rank in (1,)),
        *(("0", "channels", units, 16) for units in (6, 10)),
        *(("2", "channels", units, 16) for units in (6, 10)),
    ]
    assert (record.metric, record.unit, record.value, record.samples) == ("closeness", "dB", 1, 60)
    assert all(row.value < 1 for row in record.rows)
    assert record.rank_correlation > 0.5
    assert network.history[-1] is record
    assert from_json(to_json(record)) == record
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_row_of_the_last_layer_is_its_foreseen_loss(network):
    inputs = torch.randn(20_000, 6, generator=torch.Generator().manual_seed(4))
    labelled = inputs, network(inputs)
    mean = labelled[1].mean(0)
    given = {"shares": (0.4,), "kinds": ("low rank",), "calibration": inputs, "samples": 20_000}
    record = mj.compression_sensitivity(network, labelled, Closeness(), **given)
    (row,) = (row for row in record.rows if row.name == "4")
    variance = (labelled[1] - mean).square().sum() / labelled[1].square().sum()
    assert 1 - row.value == pytest.approx(row.loss * variance.item(), rel=1e-3)


def test_what_is_fitted_to_does_not_judge(network, labelled):
    given = {"shares": (0.5,), "kinds": ("low rank",)}
    record = mj.compression_sensitivity(network, labelled, Closeness(), **given)
    fit, judge = fit_and_judge(network, labelled, None, samples=1000, seed=0)
    fitted, others = (torch.cat([inputs[0] for inputs, _ in part]) for part in (fit, judge))
    assert (len(fitted), len(others), record.samples) == (48, 12, 12)
    given["calibration"] = fitted
    again = mj.compression_sensitivity(network, (others, network(others)), Closeness(), **given)
    assert again.samples == record.samples
    for row, other in zip(record.rows, again.rows, strict=True):  # sums of other batches
        assert (row.loss, row.value) == pytest.approx((other.loss, other.value), rel=1e-5)


def test_a_metric_of_scores_gives_each_value_its_error(network, labelled):
    labels = labelled[1].argmax(1)
    record = mj.compression_sensitivity(network, (X, labels), "top1", calibration=X, shares=(0.5,), kinds=("low rank",))
    assert record.value == 100.0
    for row in record.rows:
        lost = round(len(X) * (100 - row.value) / 100)
        variance = (lost - lost * lost / len(X)) / (len(X) * (len(X) - 1))
        assert row.value_error == pytest.approx(100 * math.sqrt(variance))
    assert max(row.value_error for row in record.rows) > 0


def test_without_a_metric_nothing_is_scored_and_all_is_looked_at(network):
    given = {"shares": (0.5,), "kinds": ("channels",)}
    assert mj.compression_sensitivity(network, X, **given) == mj.compression_sensitivity(
        network, X, calibration=X, **given
    )
    record = mj.compression_sensitivity(network, X, shares=(0.5,), kinds=("channels",))
    assert {(row.kind, row.value) for row in record.rows} == {("channels", None)}
    assert (record.metric, record.value, record.samples, record.rank_correlation) == ("", None, 0, None)


def test_the_criterion_chooses_the_channels(network):
    first, other = (mj.compression_sensitivity(network, X, shares=(0.5,), criterion=c) for c in ("elimination", "norm"))
    losses = [[row.loss for row in record.rows if row.kind == "channels"] for record in (first, other)]
    assert all(loss < more for loss, more in zip(*losses, strict=True))
    assert [row for row in first.rows if row.kind != "channels"] == [
        row for row in other.rows if row.kind != "channels"
    ]


@pytest.mark.slow
def test_processes_give_the_same(network, labelled):
    given = {"shares": (0.5,), "kinds": ("channels",)}
    one, two = (mj.compression_sensitivity(network, labelled, Closeness(), n_jobs=n, **given) for n in (1, 2))
    assert one == two


def test_it_goes_on_where_it_stopped(network, labelled, tmp_path, monkeypatch):
    module, made = sys.modules[mj.compression_sensitivity.__module__], []
    real = module.make_smaller
    monkeypatch.setattr(module, "make_smaller", lambda *given: made.append(given[1].name) or real(*given))
    given = {"kinds": ("channels",), "folder": tmp_path}
    first = mj.compression_sensitivity(network, labelled, Closeness(), shares=(0.5,), **given)
    assert made == ["0", "2"]
    more = mj.compression_sensitivity(network, labelled, Closeness(), shares=(0.5, 0.25), **given)
    assert made == ["0", "2", "0", "2"]
    assert [row for row in more.rows if row.left == 8] == list(first.rows)
    with pytest.raises(FileError, match=r"another run, which differs in seed"):
        mj.compression_sensitivity(network, labelled, Closeness(), shares=(0.5,), seed=1, **given)
    with pytest.raises(FileError, match=r"another run, which differs in criterion"):
        mj.compression_sensitivity(network, labelled, Closeness(), shares=(0.5,), criterion="norm", **given)
    next(tmp_path.glob("0_channels_8-*.safetensors")).write_text("{}")
    with pytest.warns(UserWarning, match="0 channels: 8 is done again"):
        assert mj.compression_sensitivity(network, labelled, Closeness(), shares=(0.5,), **given) == first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shares": ()}, "shares: is"),
        ({"shares": (1.0,)}, "shares: is"),
        ({"kinds": ("weights",)}, "kinds: is .*\n.*low rank, channels"),
        ({"kinds": ()}, "kinds: is"),
        ({"criterion": "size"}, "criterion: is 'size'"),
    ],
    ids=["no share", "all", "kind", "no kind", "criterion"],
)
def test_bad_input_is_refused(network, labelled, settings, message):
    with pytest.raises(SettingError, match=message):
        mj.compression_sensitivity(network, labelled, Closeness(), **settings)
    with pytest.raises(DataError, match="has no targets"):
        mj.compression_sensitivity(network, X, Closeness(), shares=(0.5,))
