"""Ways that are tried: which there are, which is taken, and what is kept of each."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError, SettingError
from microjoule.execution.batches import batches
from microjoule.recipes.compression_scores import WHOLE, Score, Scored, by_metric
from microjoule.recipes.compression_trial import How, open_trial
from microjoule.records.measured import Evaluated

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return mj.capture(nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4)).eval(), X[:2])


def evaluated(value, stage="", **changes):
    return Evaluated(stage, "fake", value, "%", 7, "no data", 0.5, **changes)


def fake(values, data="no data"):
    """A score that is these values, one after another."""
    scores = iter(values)
    return Score("fake", "%", data, lambda _, stage: evaluated(next(scores), stage, samples_id=data), dict)


@contextmanager
def trial(network, values, *, others=None, **how):
    """A trial whose networks get these scores, one after another, and others on the samples that confirm."""
    confirm = None if others is None else fake(others, "others")
    with open_trial(network, batches(X), fake(values), "macs", How(**how), confirm=confirm) as made:
        yield made


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"ways": ()}, "ways: is"),
        ({"ways": (1.1,)}, "ways: is"),
        ({"ways": (-0.1,)}, "ways: is"),
        ({"ways": (0.5,), "methods": ()}, "ways: need low-rank forms"),
        ({"multiple": 0}, "multiple: is 0"),
        ({"criterion": "size"}, "criterion: is 'size'"),
        ({"latency_bits": 16}, "latency_bits: is 16\n.*32, 8"),
        ({"methods": ("svd",)}, "methods: is"),
    ],
    ids=["no way", "above 1", "below 0", "needs forms", "no multiple", "no criterion", "no bits", "no method"],
)
def test_ways_that_there_are_not_are_refused(how, message):
    with pytest.raises(SettingError, match=message):
        How(**how)


def test_a_criterion_is_refused_where_no_channels_go():
    with pytest.raises(SettingError, match=r"ways: is \(0.0,\), so that no channel goes"):
        How(ways=(0.0,), criterion="norm")
    assert How(ways=(0.0, 0.5), criterion="norm").usable_ways == [0.0, 0.5]


def test_without_forms_only_pruning_alone_is_left():
    assert How(methods=()).usable_ways == [1.0]
    assert How(ways=(0.0, 0.5)).usable_ways == [0.0, 0.5]


def test_every_way_is_made_once_and_keeps_the_share(network):
    with trial(network, (90, 1, 2, 3), ways=(0.0, 1.0)) as one:
        found = one.run([0.5])
    assert list(found) == [WHOLE, "0.5 0.0", "0.5 1.0"]
    assert [found[name].evaluated.value for name in found] == [90, 1, 2]
    assert [found[name].evaluated.stage for name in found] == ["original", "compressed", "compressed"]
    assert (found[WHOLE].cost, found[WHOLE].loss, found[WHOLE].pruned_to) == (6 * 12 + 12 * 4, 0, 1)
    assert all(found[name].cost <= 60 for name in ("0.5 0.0", "0.5 1.0"))
    assert found["0.5 0.0"].pruned_to == 1
    assert found["0.5 1.0"].pruned_to == found["0.5 1.0"].cost / 120


@pytest.mark.parametrize(
    ("values", "losses", "taken"),
    [((1, 2), (0.1, 0.2), "0.5 1.0"), ((2, 1), (0.2, 0.1), "0.5 0.0"), ((2, 2), (0.2, 0.1), "0.5 1.0")],
    ids=["second", "first", "equal: less loss"],
)
def test_the_best_score_is_taken_and_among_equals_the_least_loss(network, values, losses, taken):
    for higher, sign in ((True, 1), (False, -1)):
        scores = [evaluated(sign * value, higher_is_better=higher) for value in values]
        results = [Scored(score, 1.0, loss, 1.0, 50) for score, loss in zip(scores, losses, strict=True)]
        with trial(network, (), ways=(0.0, 1.0)) as one:
            assert one.taken(0.5, dict(zip(("0.5 0.0", "0.5 1.0"), results, strict=True))) == taken


def test_a_way_that_cannot_be_gone_is_passed_over_and_the_record_tells_the_others(network):
    with trial(network, (90, 80), ways=(0.0, 1.0)) as one:
        found = one.run([0.16])  # one unit alone would cost 10 of 120, a whole network of rank 1 costs 34
        assert "channels alone can be pruned to" not in str(found["0.16 1.0"])
        assert isinstance(found["0.16 0.0"], str)
        made = one.best(0.16, found)
    *_, original, compressed, record = made.history
    assert (original.stage, original.value, compressed.stage, compressed.value) == ("original", 90, "compressed", 80)
    assert (record.chosen, len(record.tried), record.tried[0].value) == (0, 1, 80)
    assert (record.cost_before, record.budget, record.samples) == (120, 0.16 * 120, 7)
    assert (record.value_before, record.value_after, record.confirmed) == (90, 80, None)
    assert mj.costs(made).macs == record.cost_after <= record.budget


def test_what_was_chosen_is_scored_on_samples_that_nothing_was_chosen_by(network):
    with trial(network, (90, 70, 80), others=(88, 79), ways=(0.0, 1.0)) as one:
        *_, first, second, third, fourth, record = one.best(0.5, one.run([0.5])).history
    assert [(score.stage, score.value) for score in (first, second)] == [("original", 90), ("compressed", 80)]
    assert [(score.stage, score.value) for score in (third, fourth)] == [("original", 88), ("compressed", 79)]
    assert (record.value_before, record.value_after, record.chosen_samples) == (88, 79, 7)
    assert [way.value for way in record.tried] == [70, 80]
    assert record.confirmed == fourth.compared
    assert (record.confirmed.difference, record.confirmed.standard_error) == (-9, None)
    assert second.compared.difference == -10


def test_what_confirms_is_kept_like_every_other_score(network, tmp_path):
    with trial(network, (90, 80), others=(88, 79), ways=(1.0,), folder=tmp_path) as first:
        made = first.best(0.5, first.run([0.5])).history[-1]
    with trial(network, (), others=(), ways=(1.0,), folder=tmp_path) as again:
        assert again.best(0.5, again.run([0.5])).history[-1] == made


def test_another_set_to_confirm_on_is_another_run(network, tmp_path):
    labels, metric, how = network(X).argmax(1), mj.zoo.metric("top1"), How(folder=tmp_path, ways=(0.0,))
    choose = by_metric(batches((X, labels)), metric)
    for seen in (X, X.flip(0)):
        confirm = by_metric(batches((seen, labels)), metric, "data to confirm on")
        told = r"differs in data to confirm on \(batch 1 and 1 more of 2\)"
        expected = nullcontext() if seen is X else pytest.raises(FileError, match=told)
        with expected, open_trial(network, batches(X), choose, "macs", how, confirm=confirm):
            pass


def test_what_cannot_be_kept_in_any_way_is_refused(network):
    with trial(network, (90,), ways=(1.0,), methods=()) as one:
        with pytest.raises(SettingError, match=r"budget: cannot be kept in any way\n.*pruned to"):
            one.best(0.01, one.run([0.01]))
        with pytest.raises(SettingError, match=r"budget: of 0.01 of the cost cannot be kept in any way\n.*pruned to"):
            one.check(0.01)
        one.check(0.5)


def test_networks_of_another_criterion_are_other_results(network, tmp_path):
    with trial(network, (90, 80), ways=(1.0,), folder=tmp_path) as first:
        assert first.run([0.5])["0.5 1.0"].evaluated.value == 80
    told = r"differs in criterion \('norm' here, 'elimination' in the folder\)"
    with pytest.raises(FileError, match=told), trial(network, (), ways=(1.0,), folder=tmp_path, criterion="norm"):
        pytest.fail("opened")
    with trial(network, (), ways=(1.0,), folder=tmp_path) as again:
        assert again.run([0.5])["0.5 1.0"].evaluated.value == 80


def test_the_criterion_chooses_the_channels(network):
    with trial(network, ()) as one, trial(network, (), criterion="norm") as other:
        assert one.menu.removals["0"].order != other.menu.removals["0"].order


def test_a_folder_of_scores_on_other_samples_is_refused(network, tmp_path):
    labels, metric = network(X).argmax(1), mj.zoo.metric("top1")
    for count in (40, 20):
        score, how = by_metric(batches((X[:count], labels[:count])), metric), How(folder=tmp_path, ways=(0.0,))
        told = r"differs in labelled data \(1 batch here, 2 in the folder\)"
        expected = nullcontext() if count == 40 else pytest.raises(FileError, match=told)
        with expected, open_trial(network, batches(X), score, "macs", how) as made:
            made.run([0.9])
