from microjoule.records.pruned import ChannelsRemoved
from microjoule.report.history import history


def test_removed_channels_are_told_layer_by_layer():
    (step,) = history([ChannelsRemoved({"a": (8, 6), "c": (4, 1)}, {"a": (8, 6), "b": (8, 6)}, 1000, 750)])
    assert step.title == "Removed channels"
    assert step.summary == "5 units of 2 groups: 25.00 % fewer parameters, 750 are left"
    assert step.details == (("a", "6 of 8 channels"), ("b", "6 of 8 channels"))


def test_nothing_removed_is_told_as_that():
    (step,) = history([ChannelsRemoved({}, {}, 0, 0)])
    assert step.summary == "0 units of 0 groups: 0 % fewer parameters, 0 are left"
