"""What hurts, whole: the record, resuming, and bad input."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, FileError, GraphError, SettingError
from microjoule.numerics.ranges import percentile
from microjoule.records.json_io import from_json, to_json

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))
Y = torch.arange(40) % 4


COUNT = {"asked": 0, "stop": -1}


class Counting:
    """Top-1 accuracy that counts how often it is asked, and is interrupted at one of these."""

    name, unit = "counted", "%"

    def __init__(self):
        self.reset()

    def reset(self):
        self.right = self.samples = 0

    def update(self, outputs, targets):
        self.right += int((outputs.argmax(1) == targets).sum())
        self.samples += len(targets)

    def compute(self):
        if COUNT["asked"] == COUNT["stop"]:
            raise KeyboardInterrupt
        COUNT["asked"] += 1
        return 100 * self.right / self.samples


@pytest.fixture
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4))
    with torch.no_grad():
        module[0].weight[0] *= 30  # one wide channel, which the others pay for
    made = mj.capture(module.eval(), X[:2])
    mj.quantize(made, target="per-tensor")
    mj.calibrate(made, X)
    return made


def test_every_quantizer_at_every_width(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    record = mj.sensitivity(network, (X, Y), mj.zoo.metric("top1"), bits=(8, 3, 3))
    assert [(row.kind, row.layer, row.bits) for row in record.rows][:4] == [
        ("activation", "", 3),
        ("activation", "", 8),
        ("weight", "0", 3),
        ("weight", "0", 8),
    ]
    assert len(record.rows) == 10
    assert (record.metric, record.unit, record.samples) == ("top1", "%", 40)
    assert network.history[-1] is record
    assert from_json(to_json(record)) == record
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for at in range(0, 10, 2):
        narrow, wide = record.rows[at : at + 2]
        assert narrow.kl > wide.kl
        assert narrow.sqnr_db < wide.sqnr_db
        assert narrow.proxy > wide.proxy
    assert record.rank_correlation > 0.8


def test_the_weights_with_one_wide_channel_are_the_worst_weights(network):
    record = mj.sensitivity(network, X, bits=(4,), kinds=("weight",))
    assert [row.layer for row in sorted(record.rows, key=lambda row: -row.kl)] == ["0", "3"]
    assert (record.metric, record.fp_value, record.rows[0].value) == ("", None, None)


def test_the_estimate_alone_measures_nothing(network):
    whole = mj.sensitivity(network, (X, Y), mj.zoo.metric("top1"))
    record = mj.sensitivity(network, (X, Y), Counting(), proxy_only=True)
    assert [row.proxy for row in record.rows] == [row.proxy for row in whole.rows]
    assert {(row.value, row.sqnr_db, row.kl) for row in record.rows} == {(None, None, None)}
    assert record.rank_correlation is record.fp_value is None
    assert COUNT["asked"] == 0


def test_it_runs_in_evaluation_mode(network):
    wanted = mj.sensitivity(network, X, bits=(4,))
    network.train()
    assert mj.sensitivity(network, X, bits=(4,)) == wanted
    assert network.module.training


def test_the_rule_chooses_ranges_at_other_widths_only(network):
    plain = mj.sensitivity(network, X, kinds=("weight",))
    clipped = mj.sensitivity(network, X, kinds=("weight",), weight_rule=percentile(90))
    assert [row.kl == other.kl for row, other in zip(plain.rows, clipped.rows, strict=True)] == [False, True] * 2


def test_killed_in_the_middle_nothing_is_computed_twice(network, tmp_path):
    COUNT.update(asked=0, stop=5)  # floating point, and four tasks
    with pytest.raises(KeyboardInterrupt):
        mj.sensitivity(network, (X, Y), Counting(), folder=tmp_path)
    assert len(list(tmp_path.glob("*bits*.safetensors"))) == 4
    COUNT["stop"] = -1
    record = mj.sensitivity(network, (X, Y), Counting(), folder=tmp_path)
    assert COUNT["asked"] == 5 + 1 + 6
    assert mj.sensitivity(network, (X, Y), Counting(), folder=tmp_path) == record
    assert COUNT["asked"] == 12 + 1
    assert mj.sensitivity(network, (X, Y), Counting()) == record


def test_the_same_folder_serves_more_widths(network, tmp_path):
    few = mj.sensitivity(network, X, bits=(4,), folder=tmp_path)
    more = mj.sensitivity(network, X, bits=(4, 8), folder=tmp_path)
    assert [row for row in more.rows if row.bits == 4] == list(few.rows)


def test_bad_input_is_refused(network, tmp_path):
    metric = mj.zoo.metric("top1")
    with pytest.raises(DataError, match="has no targets"):
        mj.sensitivity(network, X, metric)
    with pytest.raises(SettingError, match="bits: is empty"):
        mj.sensitivity(network, X, bits=())
    with pytest.raises(SettingError, match="a grid holds 1 to 16 bits, got 32"):
        mj.sensitivity(network, X, bits=(8, 32))
    with pytest.raises(SettingError, match="kinds: is"):
        mj.sensitivity(network, X, kinds=("bias",))
    with pytest.raises(SettingError, match="samples: is 0"):
        mj.sensitivity(network, X, samples=0)
    with pytest.raises(SettingError, match="n_jobs: is 0"):
        mj.sensitivity(network, X, n_jobs=0)
    with pytest.raises(DataError, match=r"has shape \(\d+, 5\), and the network was captured for \(n, 6\)"):
        mj.sensitivity(network, X[:, :5])
    with pytest.raises(GraphError, match="has no quantizer"):
        mj.sensitivity(mj.capture(nn.Sequential(nn.Linear(6, 4)), X[:2]), X)
    mj.sensitivity(network, X, bits=(8,), folder=tmp_path)
    with pytest.raises(FileError, match=r"another run, which differs in data \(batch 1 and 1 more of 2\)"):
        mj.sensitivity(network, X + 1, bits=(8,), folder=tmp_path)
