import pytest
import torch

import microjoule as mj
from microjoule.errors import DataError, FileError, SettingError
from microjoule.records.compressed import Compressed
from microjoule.records.facts import Run
from microjoule.records.json_io import records_from_json, to_json
from microjoule.records.measured import Evaluated
from tests.graph.channel_networks import NETWORKS

pytestmark = pytest.mark.filterwarnings("ignore:.* samples are of class:microjoule.errors.DataWarning")
"""Networks of random weights see one class in everything."""

X = torch.randn(60, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def network():
    build, _ = NETWORKS["residual"]
    torch.manual_seed(0)
    return mj.capture(build().eval(), X[:2])


@pytest.fixture
def data(network):
    return X, network(X).argmax(1)


def top1():
    return mj.zoo.metric("top1")


@pytest.mark.slow
def test_the_budget_is_kept_and_the_network_is_left_alone(network, data):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = mj.compress(network, data, top1(), macs=0.6)
    assert mj.costs(found).macs <= 0.6 * mj.costs(network).macs
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    record = next(one for one in found.history if isinstance(one, Compressed))
    assert record.cost_after <= record.budget == 0.6 * record.cost_before
    assert record.value_before == 100.0
    assert max(way.value for way in record.tried) == record.tried[record.chosen].value
    assert (record.chosen_samples, record.samples) == (12, 12)
    scores = [one for one in found.history if isinstance(one, Evaluated)]
    parts = ["tuple (part to choose by)"] * 2 + ["tuple (part to confirm on)"] * 2
    assert [(one.stage, one.data) for one in scores] == list(zip(["original", "compressed"] * 2, parts, strict=True))
    assert record.confirmed == scores[-1].compared
    assert (record.value_after, record.tried[record.chosen].value) == (scores[-1].value, scores[1].value)
    assert {one.cost_after < one.cost_before for one in record.layers} == {True}
    assert records_from_json(to_json([record])) == [record]
    assert next(one for one in found.history if isinstance(one, Run)).recipe == "compress"


def test_other_data_confirms(network, data):
    x = torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    others = x, network(x).argmax(1)
    found = mj.compress(network, data, "top1", macs=0.6, confirm=others, ways=[0.5])
    record = next(one for one in found.history if isinstance(one, Compressed))
    assert (record.chosen_samples, record.samples) == (12, 50)
    assert record.value_after == mj.evaluate(found, others, "top1").value
    assert record.confirmed.lost == int((found(x).argmax(1) != others[1]).sum())


@pytest.mark.slow
def test_the_way_with_the_least_error_is_taken_where_less_is_better(network, data):
    def errors(outputs, targets):
        return outputs.argmax(1) != targets

    errors.higher_is_better = False
    found = mj.compress(network, data, errors, macs=0.5)
    record = next(one for one in found.history if isinstance(one, Compressed))
    assert record.tried[record.chosen].value == min(way.value for way in record.tried)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["size", "energy"])
def test_other_budgets(network, data, name):
    found = mj.compress(network, data, top1(), **{name: 0.7}, ways=[0.5])
    record = next(one for one in found.history if isinstance(one, Compressed))
    assert record.cost == {"size": "bytes", "energy": "energy"}[name]
    assert record.cost_after <= 0.7 * record.cost_before
    parameters = [sum(p.numel() for p in one.module.parameters()) for one in (found, network)]
    assert parameters[0] < parameters[1]


def test_pruning_alone_to_multiples(network, data):
    found = mj.compress(network, data, top1(), macs=0.6, methods=(), multiple=2)
    assert {layer.path for layer in found.layers} == {layer.path for layer in network.layers}
    widths = {layer.path: (layer.out_channels, network.layer(layer.path).out_channels) for layer in found.layers}
    assert any(after < before for after, before in widths.values())
    assert {after % 2 for after, before in widths.values() if after < before} == {0}


def test_the_same_seed_gives_the_same_network_and_a_run_goes_on(network, data, tmp_path):
    first = mj.compress(network, data, top1(), macs=0.5, ways=[0.5], folder=tmp_path / "run")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
    again = mj.compress(network, data, top1(), macs=0.5, ways=[0.5], folder=tmp_path / "run")
    alone = mj.compress(network, data, top1(), macs=0.5, ways=[0.5])
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")} != {}
    for other in (again, alone):
        pairs = zip(first.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(FileError, match="another run"):
        mj.compress(network, data, top1(), macs=0.5, ways=[0.5], seed=1, folder=tmp_path / "run")


def test_damaged_parts_are_done_again_and_the_network_is_the_same(network, data, tmp_path):
    first = mj.compress(network, data, top1(), macs=0.5, ways=[1.0], folder=tmp_path / "run")
    for path in (tmp_path / "run").rglob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    with pytest.warns(UserWarning, match="is done again"):
        again = mj.compress(network, data, top1(), macs=0.5, ways=[1.0], folder=tmp_path / "run")
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "budget: is missing"),
        ({"macs": 0.5, "size": 0.5}, "is given 2 times: macs, size"),
        ({"macs": 0.0}, "macs: is 0.0"),
        ({"macs": 1.5}, "macs: is 1.5"),
        ({"macs": 0.5, "ways": []}, "ways"),
        ({"macs": 0.5, "ways": [2.0]}, "ways"),
        ({"macs": 0.5, "ways": [0.0], "methods": ()}, "ways: need low-rank forms"),
        ({"macs": 0.5, "multiple": 0}, "multiple: is 0"),
        ({"macs": 0.001}, "budget: cannot be kept in any way"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused(network, data, settings, message):
    with pytest.raises(SettingError, match=message):
        mj.compress(network, data, top1(), **settings)


def test_data_without_targets_is_refused(network):
    with pytest.raises(DataError, match="no targets"):
        mj.compress(network, X, top1(), macs=0.5)
