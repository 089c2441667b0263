import pytest
import torch

from microjoule.graph.labels import Labels, Value, along, compact


def same(labels, *parts):
    """Whether all labels are of one class."""
    return len({int(number) for part in parts for number in labels.classes()[part].flatten()}) == 1


def test_labels_are_new_each_time():
    labels = Labels()
    assert labels.new(3).tolist() == [0, 1, 2]
    assert labels.new(2).tolist() == [3, 4]
    assert len(set(labels.classes().tolist())) == 5


def test_what_is_tied_is_one_class_also_by_others():
    labels = Labels()
    a = labels.new(4)
    labels.tie(a[:1], a[1:2])
    labels.tie(a[1:2], a[3:])
    assert same(labels, a[[0, 1, 3]])
    assert not same(labels, a[1:3])


def test_axes_without_a_say_are_kept_as_one():
    full = torch.tensor([[5, 5, 5], [7, 7, 7]])
    value = compact(full)
    assert value.labels.tolist() == [[5], [7]]
    assert value.varying == (0,)
    assert torch.equal(value.full, full)


def test_labels_lie_along_an_axis():
    value = along(torch.arange(4), -1, (2, 3, 4))
    assert value.labels.shape == (1, 1, 4)
    assert value.varying == (2,)


def test_values_that_broadcast_are_tied_channel_by_channel():
    labels = Labels()
    x, gate = along(labels.new(3), 1, (1, 3, 5, 5)), along(labels.new(3), 1, (1, 3, 1, 1))
    result = labels.meet([x, gate], (1, 3, 5, 5), "mul")
    assert result.varying == (1,)
    classes = labels.classes()
    assert torch.equal(classes[x.labels], classes[gate.labels])
    assert len(classes.unique()) == 3


def test_one_channel_for_all_must_stay_and_ties_nothing():
    labels = Labels()
    x, one = along(labels.new(3), 1, (1, 3, 5, 5)), along(labels.new(1), 1, (1, 1, 5, 5))
    labels.meet([x, one], (1, 3, 5, 5), "mul")
    assert len(labels.classes().unique()) == 4
    assert [(fixed.tolist(), reason) for fixed, reason in labels.fixed] == [
        ([3], "it is one channel, which meets several in mul")
    ]


def test_a_value_of_one_class_as_wide_as_the_channels_ties_them_all():
    labels = Labels()
    x, rigid = along(labels.new(3), 1, (1, 3)), labels.rigid((1, 3), "why")
    labels.meet([x, rigid], (1, 3), "add")
    assert same(labels, x.labels, rigid.labels)


def test_channels_along_different_axes_must_stay():
    labels = Labels()
    rows, columns = along(labels.new(3), 0, (3, 3)), along(labels.new(3), 1, (3, 3))
    result = labels.meet([rows, columns], (3, 3), "add")
    assert result.varying == ()
    assert sorted(number for fixed, _ in labels.fixed for number in fixed.tolist()) == [0, 1, 2, 3, 4, 5, 6]


def test_of_a_stored_tensor_only_the_axis_of_channels_counts():
    labels = Labels()
    x = along(labels.new(4), 2, (1, 3, 4))
    stored = Value(labels.new(12).reshape(1, 3, 4), (1, 3, 4), stored=True)
    labels.meet([x, stored], (1, 3, 4), "add")
    classes = labels.classes()
    assert torch.equal(classes[stored.labels], classes[x.labels].expand(1, 3, 4))
    assert len(classes.unique()) == 4


def test_a_stored_number_a_place_ties_no_channels():
    labels = Labels()
    x = along(labels.new(4), 1, (1, 4, 3))
    labels.meet([x, Value(labels.new(3).reshape(1, 1, 3), (1, 1, 3), stored=True)], (1, 4, 3), "mul")
    assert len(labels.classes()[x.labels].unique()) == 4


@pytest.mark.parametrize(
    ("axes", "shape", "fixed"), [((0,), (1, 3), 0), ((1,), (2, 1), 0), ((0, 1), (1, 1), 1)], ids=str
)
def test_a_whole_axis_goes_together_if_another_stays_free(axes, shape, fixed):
    labels = Labels()
    value = Value(labels.new(6).reshape(2, 3), (2, 3))
    assert labels.whole(value, axes, "why").labels.shape == shape
    assert len(labels.fixed) == 2 * fixed
    assert len(labels.classes()[value.labels].unique()) == (6 if fixed else max(shape))


def test_an_axis_without_a_say_is_whole_already():
    labels = Labels()
    value = along(labels.new(3), 0, (3, 4))
    assert labels.whole(value, (1,), "why") is value
    assert labels.fixed == []


def test_the_first_reason_of_a_class_counts():
    labels = Labels()
    a, b, free = labels.new(2), labels.new(2), labels.new(1)
    labels.tie(a[:1], b[:1])
    labels.fix(b, "first")
    labels.fix(a, "second")
    classes = labels.classes()
    first = labels.first_fixed(classes)
    assert [labels.fixed[index][1] for index in first[classes[a]].tolist()] == ["first", "second"]
    assert [labels.fixed[index][1] for index in first[classes[b]].tolist()] == ["first", "first"]
    assert first[classes[free]].tolist() == [-1]
