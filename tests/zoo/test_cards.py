"""The table of the zoo is whole."""

import pytest

from microjoule import zoo
from microjoule.errors import SettingError
from microjoule.execution.metrics import METRICS


def test_names_are_unique_and_in_the_order_of_the_table() -> None:
    assert len(set(zoo.names())) == len(zoo.names()) >= 20
    assert all(zoo.card(name).name == name for name in zoo.names())


@pytest.mark.parametrize("name", zoo.names())
def test_a_card_can_be_believed(name: str) -> None:
    card = zoo.card(name)
    low, high = card.input_range
    assert low <= 0 < high
    assert (card.dataset is None) == (card.metric is None)
    assert card.metric is None or card.metric in METRICS
    assert card.dataset is None or card.licence is not None


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SettingError, match="there is no 'alexnet' in the zoo"):
        zoo.card("alexnet")
